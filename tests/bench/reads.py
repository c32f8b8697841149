"""Entitlement reads beside nginx"""
from events import token
from history import some_payers
from load import in_turn, wrk
from programs import Failed, answer
from raw import raw_loop
from report import aim, fact, speed

PATH = "/api/user/entitlements"
# What the path asks of the database.
STATEMENTS = ["session_auth", "billing_access", "entitlement_member", "chat_member_standing"]


def body_size(ctx, server):
    """Of a payer's answer; the first and the last must be right."""
    for n in (some_payers(ctx.members)[0], some_payers(ctx.members)[-1]):
        status, body = answer(server.port, PATH, {"Authorization": f"Bearer {token(n)}"})
        if status != 200 or b'"premium":true' not in body:
            raise Failed(f"entitlements of member {n}: {status} {body[:300]}")
    return len(body)


def run(ctx):
    with ctx.server() as server, ctx.nginx(body_size(ctx, server)) as nginx:
        tokens = ctx.tokens()
        got = in_turn(ctx, {
            "nginx, fixed JSON": lambda: wrk(ctx, nginx, PATH, tokens),
            "GET /healthz": lambda: wrk(ctx, server, "/healthz"),
            "GET /api/user/entitlements": lambda: wrk(ctx, server, PATH, tokens),
            "raw loop, entitlements": lambda: raw_loop(ctx, server.database, STATEMENTS, ctx.members)})
        size = body_size(ctx, server)
    bare, mine, raw = got["nginx, fixed JSON"], got["GET /api/user/entitlements"], got["raw loop, entitlements"]
    return [fact("answer", size, "bytes"), speed("nginx, fixed JSON", bare),
            speed("GET /healthz", got["GET /healthz"], ("nginx", bare)),
            speed("GET /api/user/entitlements", mine, ("nginx", bare)),
            speed("raw loop, the same statements", raw),
            fact("entitlement reads, of the raw loop", round(mine["per_second"] / raw["per_second"], 2)),
            aim("entitlement reads, of nginx", round(mine["per_second"] / bare["per_second"], 3), at_least=0.4,
                why=f"{mine['cpu_us']:.1f} us of processor a read: {raw['cpu_us']:.1f} us are its statements in the raw "
                    f"loop, {got['GET /healthz']['cpu_us']:.1f} us an answer without a database; nginx "
                    f"{bare['cpu_us']:.1f} us"),
            aim("entitlement reads, p99 at 64 connections", mine["p99_ms"], at_most=2.0, unit="ms",
                why=f"wrk and the server share the processors at full load; nginx itself has {bare['p99_ms']:.1f} ms")]
