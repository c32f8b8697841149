"""Sizes, start, memory at rest and with idle connections"""
import resource
import socket
import statistics
import time

import history
from programs import Failed, Nginx
from report import aim, fact

ASK = b"GET /healthz HTTP/1.1\r\nHost: bench.mybeing.example\r\n\r\n"

SILENCE = 13  # seconds: longer than a connection is kept at hand


def run(ctx):
    wanted = min(200 if ctx.tiny else 10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    size, binary = ctx.database().stat().st_size, ctx.binary.stat().st_size
    with ctx.copy() as server:
        start, bare = starts(ctx, server, Nginx(ctx.folder("nginx"), 100))
        server.start()
        rest = server.rss_mb()
        used, silent = idle(ctx, server, wanted)
    tables = {k: v / ctx.members * 1000 for k, v in history.sizes(ctx.database()).items()}
    most = ", ".join(f"{k} {v:.2f}" for k, v in list(tables.items())[:5])
    paid = sum(history.kind(n)[1] for n in range(ctx.members))
    per_1000 = size / ctx.members * 1000
    return [fact("members", ctx.members), fact("paid months of 1,000 members", round(paid / ctx.members * 1000)),
            fact("largest tables, with their indexes", most, "MB per 1,000 members"),
            aim("database per 1,000 members", round(per_1000 / 1e6, 2), at_most=4.0, unit="MB",
                why=f"of this: {most}"),
            aim("stripped binary", round(binary / 1e6, 2), at_most=2.0, unit="MB"),
            fact("nginx, start to first answer", round(bare, 1), "ms"),
            aim("start to first answer", round(start, 1), at_most=20, unit="ms", why=f"nginx {bare:.1f} ms"),
            aim("memory at rest", round(rest, 1), at_most=12, unit="MB"),
            fact(f"memory when {wanted:,} connections were just used", round(used, 1), "MB"),
            aim(f"memory with {wanted:,} idle connections, {SILENCE} s later", round(silent, 1), at_most=64, unit="MB")]


def starts(ctx, *sides):
    """Milliseconds from start to first answer, in turn: the median of each."""
    times = [[] for _ in sides]
    for _ in range(ctx.rounds):
        ctx.note("start to first answer")
        for took, side in zip(times, sides):
            took.append(side.start())
            side.stop()
    return map(statistics.median, times)


def idle(ctx, server, wanted):
    """Memory with so many connections: each after a request and its answer, then idle for a while; all are served on."""
    held = []
    try:
        for i in range(wanted):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            if i % 500 == 499:
                ctx.note("idle connections", i + 1, wanted)
        ask_all(held)
        used = server.rss_mb()
        ctx.note("silence")
        time.sleep(SILENCE)
        silent = server.rss_mb()
        ask_all(held)
        return used, silent
    finally:
        for s in held:
            s.close()


def ask_all(held):
    for s in held:
        s.sendall(ASK)
    for s in held:
        if not s.recv(65536).startswith(b"HTTP/1.1 200"):
            raise Failed("a connection got no answer")
