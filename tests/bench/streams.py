"""Two thousand answers of an AI at once"""
import json
import statistics
import subprocess
import time

from programs import Failed, answer, cpu_seconds, free_port
from report import aim, fact, speed

PATHS = ["/api/user/entitlements", "/api/chat/history?limit=20"]
GAP_MS = 500  # between two words of one answer
RATE = 400  # other requests a second


def spawn(ctx, *args):
    return subprocess.Popen([str(ctx.tool("streams")), *map(str, args)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def line(child, what, seconds=120):
    got = child.stdout.readline()
    if not got:
        raise Failed(f"streams: no {what}")
    return got.strip()


def steady(ctx, server, seconds):
    """Other requests, at a rate that is the same at rest and beside the answers."""
    child = spawn(ctx, "steady", server.port, RATE, seconds, ctx.tokens(), *PATHS)
    got = json.loads(line(child, "figures of the steady requests"))
    child.wait(30)
    if got["failures"]:
        raise Failed(f"{got['failures']} of the steady requests failed")
    return got


def middle(rounds):
    return {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}


def run(ctx):
    count = 50 if ctx.tiny else 2000
    rounds, seconds = (1, 2) if ctx.tiny else (3, 5)
    words = (rounds * (seconds + 1) + 8) * 1000 // GAP_MS
    port = free_port()
    provider = spawn(ctx, "provider", port, GAP_MS, words)
    try:
        line(provider, "AI provider")
        settings = {"AI_BASE_URL": f"http://127.0.0.1:{port}/v1", "AI_MODEL": "example-model"}
        with ctx.server(**settings) as server:
            for path in PATHS:
                status, _ = answer(server.port, path, {"Authorization": f"Bearer {open(ctx.tokens()).readline().strip()}"})
                if status != 200:
                    raise Failed(f"{path}: {status}")
            steady(ctx, server, 1)
            idle = middle([steady(ctx, server, seconds) for _ in range(rounds)])
            before = server.rss_mb()
            reader = spawn(ctx, "readers", server.port, count, ctx.tokens())
            line(reader, "answer that began")
            began, cpu = time.monotonic(), cpu_seconds(server.pids())
            beside = middle([steady(ctx, server, seconds) for _ in range(rounds)])
            busy = (cpu_seconds(server.pids()) - cpu) / (time.monotonic() - began)
            memory, files = server.rss_mb(), server.open_files()
            got = json.loads(line(reader, "figures of the answers"))
            reader.wait(60)
    finally:
        provider.kill()
        provider.wait()
    if got["whole"] != count:
        raise Failed(f"{got['whole']} of {count} answers came whole, {got['wrong']} did not")
    row = {"per_second": got["words"] / (words * GAP_MS / 1000), "p50_ms": got["word_p50_ms"], "p99_ms": got["word_p99_ms"]}
    ratio = beside["p99_ms"] / idle["p99_ms"]
    return [speed(f"words of {count:,} answers, through the server", row),
            speed("other requests, at rest", idle),
            speed(f"other requests beside {count:,} answers", beside),
            aim("their p99, of that at rest", round(ratio, 2), at_most=2.0),
            fact("first word of an answer, p99 (its saving included)", got["first_p99_ms"], "ms"),
            fact(f"memory of {count:,} answers", round(memory - before, 1), "MB"),
            fact("memory of one answer", round((memory - before) * 1024 / count, 1), "KB"),
            fact("processor beside them, of one", round(busy, 2), ""),
            fact("open files", files, "")]
