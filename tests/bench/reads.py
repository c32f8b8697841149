"""Entitlement reads beside nginx"""
from events import token
from load import in_turn, wrk
from programs import Failed, answer
from report import aim, fact, speed

PATH = "/api/user/entitlements"


def body_size(ctx, server):
    """Of the first member's answer; all of them must be right."""
    for n in (0, ctx.members - 1):
        status, body = answer(server.port, PATH, {"Authorization": f"Bearer {token(n)}"})
        if status != 200:
            raise Failed(f"entitlements: {status} {body[:300]}")
    return len(body)


def run(ctx):
    with ctx.server() as server:
        size = body_size(ctx, server)
        with ctx.nginx(size) as nginx:
            tokens = ctx.tokens()
            got = in_turn(ctx, {
                "nginx, fixed JSON": lambda: wrk(ctx, nginx, PATH, tokens),
                "GET /healthz": lambda: wrk(ctx, server, "/healthz"),
                "GET /api/user/entitlements": lambda: wrk(ctx, server, PATH, tokens)})
    bare, mine = got["nginx, fixed JSON"], got["GET /api/user/entitlements"]
    return [fact("answer", size, "bytes"), speed("nginx, fixed JSON", bare),
            *(speed(k, v, ("nginx", bare)) for k, v in got.items() if v is not bare),
            aim("entitlement reads, of nginx", round(mine["per_second"] / bare["per_second"], 3), at_least=0.4),
            aim("entitlement reads, p99 at 64 connections", mine["p99_ms"], at_most=2.0, unit="ms")]
