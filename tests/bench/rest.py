"""Sizes, start, memory at rest and with idle connections"""
import resource
import socket
import statistics

import history
from programs import Failed
from report import aim, fact

ASK = b"GET /healthz HTTP/1.1\r\nHost: bench.mybeing.example\r\n\r\n"


def run(ctx):
    wanted = min(200 if ctx.tiny else 10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    size, binary = ctx.database().stat().st_size, ctx.binary.stat().st_size
    with ctx.copy() as server:
        times = []
        for _ in range(ctx.rounds):
            ctx.note("start to first answer")
            times.append(server.start())
            server.stop()
        server.start()
        rest = server.rss_mb()
        fresh, used = idle(ctx, server, wanted)
    tables = {k: v / ctx.members * 1000 for k, v in history.sizes(ctx.database()).items()}
    most = ", ".join(f"{k} {v:.2f}" for k, v in list(tables.items())[:5])
    paid = sum(history.kind(n)[1] for n in range(ctx.members))
    start, per_1000 = statistics.median(times), size / ctx.members * 1000
    return [fact("members", ctx.members), fact("paid months of 1,000 members", round(paid / ctx.members * 1000)),
            fact("largest tables, with their indexes", most, "MB per 1,000 members"),
            aim("database per 1,000 members", round(per_1000 / 1e6, 2), at_most=4.0, unit="MB",
                why=f"of this: {most}"),
            aim("stripped binary", round(binary / 1e6, 2), at_most=2.0, unit="MB"),
            aim("start to first answer", round(start, 1), at_most=20, unit="ms"),
            aim("memory at rest", round(rest, 1), at_most=12, unit="MB"),
            aim(f"memory with {wanted:,} fresh idle connections", round(fresh, 1), at_most=64, unit="MB"),
            aim(f"memory with {wanted:,} idle connections that were used once", round(used, 1), at_most=64, unit="MB")]


def idle(ctx, server, wanted):
    """Memory with so many connections: untouched, then each after one request and its answer."""
    held = []
    try:
        for i in range(wanted):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            if i % 500 == 499:
                ctx.note("idle connections", i + 1, wanted)
        held[-1].sendall(ASK)
        if not held[-1].recv(12).endswith(b"200"):
            raise Failed("the last connection got no answer")
        fresh = server.rss_mb()
        for s in held:
            s.sendall(ASK)
        if not all(s.recv(12).endswith(b"200") for s in held[:-1]):
            raise Failed("some connections got no answer")
        return fresh, server.rss_mb()
    finally:
        for s in held:
            s.close()
