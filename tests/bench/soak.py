"""Soak: memory, files, the log and the worst second under constant load"""
import statistics
import threading

from chat import saves
from events import asked, on_disk
from history import some_payers
from load import replay
from programs import Failed
from reads import PATH
from report import aim, fact

WEBHOOKS, SAVES, READS = 400, 100, 1500  # a second
MB = 1 << 20


def mixed(ctx, events, path, seconds):
    """Requests of so many seconds, the three kinds well mixed."""
    rate, who = (WEBHOOKS + SAVES + READS) // (20 if ctx.tiny else 1), some_payers(ctx.members)
    talks = saves(ctx, ctx.tmp / "some_saves", 1000).read_bytes()
    size = len(talks) // 1000
    with open(path, "wb") as f:
        for i in range(rate * seconds):
            at = i % 20
            f.write(events.one() if at % 5 == 0 else talks[(k := i // 20 % 1000) * size:(k + 1) * size] if at == 7 else asked(PATH, who[i * 31 % len(who)]))
        on_disk(f)
    return path, rate


def flat(samples):
    """How much the last third is above the second (the first warms up): medians."""
    n = len(samples) // 3
    return statistics.median(samples[-n:]) - statistics.median(samples[n:2 * n])


class Samples:
    """Memory, open files and the size of the log, looked at twice a second."""

    def __init__(self, server):
        self.server, self.wal = server, server.folder / "mybeing.db-wal"
        self.memory, self.files, self.log, self.over = [], [], [], threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.5):
            self.memory.append(self.server.rss_mb())
            self.files.append(self.server.open_files())
            self.log.append(self.wal.stat().st_size / MB if self.wal.exists() else 0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def drive(ctx, server):
    """(99th percentiles of every second, requests a second asked, answered). What is sent next is written while the last is sent."""
    step = 5 if ctx.soak_seconds >= 10 else ctx.soak_seconds
    events, files = ctx.events(), [ctx.tmp / "soak0", ctx.tmp / "soak1"]
    seconds, left, answered = [], ctx.soak_seconds, 0
    ready, rate = mixed(ctx, events, files[0], step)
    while left > 0:
        ctx.note(f"{ctx.soak_seconds} s of constant load", ctx.soak_seconds - left + step, ctx.soak_seconds)
        got = {}
        sender = threading.Thread(target=lambda file=ready: got.update(replay(ctx, server, file, 64, step, rate)))
        sender.start()
        files.reverse()
        if left > step:
            ready, _ = mixed(ctx, events, files[0], step)
        sender.join()
        if not got:
            raise Failed("the load stopped")
        answered += got["answers"]
        seconds += got["p99_by_second"][:step]
        left -= step
    return seconds, rate, answered / len(seconds)


def run(ctx):
    with ctx.server() as server, Samples(server) as samples:
        seconds, rate, answered = drive(ctx, server)
    seconds = seconds[1:]  # the first warms up
    worst, middle = max(seconds), statistics.median(seconds)
    grown, files = flat(samples.memory), flat(samples.files)
    most = statistics.median(samples.memory)
    return [fact("length", ctx.soak_seconds, "s"), fact("requests a second", rate),
            fact("of them webhooks, chat saves, reads", f"{WEBHOOKS}, {SAVES}, {READS} of 2,000"),
            fact("memory, median", round(most, 1), "MB"), fact("open files, most", max(samples.files)),
            aim("answered of the requests", round(answered / rate, 3), at_least=0.99),
            aim("memory: last third above the second", round(grown, 2), at_most=round(max(1.0, most * 0.03), 2),
                unit="MB"),
            aim("open files: last third above the second", files, at_most=0),
            aim("largest log (WAL)", round(max(samples.log), 1), at_most=64, unit="MB"),
            fact("p99 of the median second", round(middle, 2), "ms"),
            fact("p99 of the worst second", round(worst, 2), "ms"),
            aim("worst second's p99 beside the median second's", round(worst / middle, 2), at_most=5)]
