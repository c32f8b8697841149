"""Ten thousand connections that all ask"""
import resource

import reads
from load import in_turn, wrk
from report import fact, speed


def run(ctx):
    count = 100 if ctx.tiny else min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    seconds = ctx.seconds + 2
    with ctx.server() as server, ctx.nginx(reads.body_size(ctx, server)) as nginx:
        tokens = ctx.tokens()
        got = in_turn(ctx, {
            "nginx, fixed JSON": lambda: wrk(ctx, nginx, reads.PATH, tokens, count, seconds),
            "GET /api/user/entitlements": lambda: wrk(ctx, server, reads.PATH, tokens, count, seconds)})
        memory = server.rss_mb()
    bare, mine = got.values()
    return [speed(f"nginx, {count:,} active connections", bare),
            speed(f"entitlements, {count:,} active connections", mine, ("nginx", bare)),
            fact(f"memory after {count:,} active connections", round(memory, 1), "MB")]
