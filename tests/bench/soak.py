"""Soak: memory, files, the log and the worst second under constant load"""
import statistics
import threading

from chat import saves
from events import asked, on_disk
from history import some_payers
from load import replay
from reads import PATH
from report import aim, fact
from webhooks import disk

WEBHOOKS, SAVES, READS = 400, 100, 1500  # a second
COMMIT = 48 << 10  # bytes: what the log grows by a commit, eleven or twelve pages
MB = 1 << 20


def mixed(ctx, path, rate, seconds):
    """All requests of the run, the three kinds well mixed: nothing is made while they are sent."""
    events, reads = ctx.events(), [asked(PATH, n) for n in some_payers(ctx.members)]
    talks = saves(ctx, ctx.tmp / "some_saves", 1000).read_bytes()
    size = len(talks) // 1000
    with open(path, "wb") as f:
        for i in range(rate * seconds):
            at = i % 20
            f.write(events.one() if at % 5 == 0 else talks[(k := i // 20 % 1000) * size:(k + 1) * size] if at == 7
                    else reads[i * 31 % len(reads)])
        on_disk(f)
    return path


def flat(samples):
    """How much the last third is above the second (the first warms up): medians."""
    n = len(samples) // 3
    return statistics.median(samples[-n:]) - statistics.median(samples[n:2 * n])


class Samples:
    """Memory, open files and the size of the log, looked at twice a second."""

    def __init__(self, ctx, server):
        self.ctx, self.server, self.wal = ctx, server, server.folder / "mybeing.db-wal"
        self.memory, self.files, self.log, self.over = [], [], [], threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.5):
            self.memory.append(self.server.own_mb())
            self.files.append(self.server.open_files())
            self.log.append(self.wal.stat().st_size / MB if self.wal.exists() else 0)
            seconds = self.ctx.soak_seconds
            self.ctx.note(f"{seconds} s of constant load", min(len(self.memory) / 2, seconds - 1), seconds)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def run(ctx):
    small = 20 if ctx.tiny else 1
    rate, length = (WEBHOOKS + SAVES + READS) // small, ctx.soak_seconds

    def bare():
        """The disk alone, asked for as many commits: 99th percentiles of every second but the first."""
        seconds = max(2, length // 10)
        return disk(ctx, COMMIT, seconds, (WEBHOOKS + SAVES) // small)["p99_by_second"][1:seconds]

    ctx.note("the requests")
    file = mixed(ctx, ctx.tmp / "soak", rate, length)
    with ctx.copy() as server:
        alone = bare()
        server.start()
        with Samples(ctx, server) as samples:
            got = replay(ctx, server, file, 64, length, rate)
        memory = server.rss_mb()
        server.stop()
        alone += bare()
    file.unlink()
    seconds = got["p99_by_second"][1:length]  # the first warms up
    worst, middle = max(seconds), statistics.median(seconds)
    grown, files = flat(samples.memory), flat(samples.files)
    own = statistics.median(samples.memory)
    return [fact("length", length, "s"), fact("requests a second", rate),
            fact("of them webhooks, chat saves, reads", f"{WEBHOOKS}, {SAVES}, {READS} of 2,000"),
            fact("processor, of one", round(got["cpu_us"] * got["per_second"] / 1e6, 2)),
            fact("memory in the end", round(memory, 1), "MB"), fact("of it the server's own, median of the run", round(own, 1), "MB"),
            fact("open files, most", max(samples.files)),
            aim("answered of the requests", round(got["answers"] / rate / length, 3), at_least=0.99),
            aim("memory: last third above the second", round(grown, 2), at_most=round(max(1.0, memory * 0.03), 2),
                unit="MB"),
            aim("open files: last third above the second", files, at_most=0),
            aim("largest log (WAL)", round(max(samples.log), 1), at_most=64, unit="MB"),
            fact("p99 of the median second", round(middle, 2), "ms"),
            fact("p99 of the worst second", round(worst, 2), "ms"),
            fact("the disk alone, as many writes a second: p99 of the median second", round(statistics.median(alone), 2), "ms"),
            fact(f"the disk alone: p99 of the worst of {len(alone)} seconds", round(max(alone), 2), "ms"),
            aim("worst second's p99 beside the median second's", round(worst / middle, 2), at_most=5,
                why=f"the disk alone: {max(alone):.1f} ms in its worst second of {len(alone)}")]
