"""Entitlement reads beside nginx"""
from events import asked, on_disk, token
from history import some_payers
from load import in_turn, replay, wrk
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


def asks(ctx):
    """A file of reads, of one payer after another, for replay."""
    path = ctx.tmp / "asks"
    if not path.exists():
        ready = [asked(PATH, n) for n in some_payers(ctx.members)]
        with open(path, "wb") as f:
            f.writelines(ready[i % len(ready)] for i in range(2_000 if ctx.tiny else 200_000))
            on_disk(f)
    return path


def evenly(ctx, side, rate, seconds=None):
    """So many reads a second; a latency counts from when the read was due."""
    return replay(ctx, side, asks(ctx), seconds=seconds or ctx.seconds, rate=rate)


MINE = "GET /api/user/entitlements"
FRESH = MINE + ", every row read anew"


def run(ctx):
    """Twice: as it is, and without the rows that readers keep until the next commit."""
    with ctx.server() as server, ctx.server(MYBEING_MEMO="0") as anew, ctx.nginx(body_size(ctx, server)) as nginx:
        tokens = ctx.tokens()
        got = in_turn(ctx, {
            "nginx, fixed JSON": lambda: wrk(ctx, nginx, PATH, tokens),
            "GET /healthz": lambda: wrk(ctx, server, "/healthz"),
            MINE: lambda: wrk(ctx, server, PATH, tokens),
            FRESH: lambda: wrk(ctx, anew, PATH, tokens),
            "raw loop, entitlements": lambda: raw_loop(ctx, server.database, STATEMENTS, ctx.members)})
        half = in_turn(ctx, {
            "nginx": lambda: evenly(ctx, nginx, got["nginx, fixed JSON"]["per_second"] / 2),
            "mine": lambda: evenly(ctx, server, got[MINE]["per_second"] / 2)})
        size = body_size(ctx, server)
    bare, mine, fresh, raw = got["nginx, fixed JSON"], got[MINE], got[FRESH], got["raw loop, entitlements"]
    of = {name: round(got[name]["per_second"] / bare["per_second"], 3) for name in (MINE, FRESH)}
    why = (f"{fresh['cpu_us']:.1f} us of processor a read, {mine['cpu_us']:.1f} with kept rows: {raw['cpu_us']:.1f} us are its "
           f"statements in the raw loop, {got['GET /healthz']['cpu_us']:.1f} us an answer without a database; nginx "
           f"{bare['cpu_us']:.1f} us")
    return [fact("answer", size, "bytes"), speed("nginx, fixed JSON", bare),
            speed("GET /healthz", got["GET /healthz"], ("nginx", bare)),
            speed(MINE, mine, ("nginx", bare)), speed(FRESH, fresh, ("nginx", bare)),
            speed("nginx, at half of its maximum", half["nginx"]), speed(MINE + ", at half of its maximum", half["mine"]),
            speed("raw loop, the same statements", raw),
            fact("entitlement reads, every row anew, of the raw loop", round(fresh["per_second"] / raw["per_second"], 2)),
            aim("entitlement reads, every row anew, of nginx", of[FRESH], at_least=0.4, why=why),
            aim("entitlement reads, every row anew, of nginx, then", of[FRESH], at_least=0.5, why=why),
            aim("entitlement reads, kept until a commit touches them, of nginx", of[MINE], at_least=0.7, why=why),
            fact("p99 at full load, where the load shares the processors", f"{mine['p99_ms']:.1f}, nginx {bare['p99_ms']:.1f}", "ms"),
            aim("entitlement reads, p99 at half of their maximum, 64 connections", half["mine"]["p99_ms"], at_most=2.0, unit="ms",
                why=f"nginx {half['nginx']['p99_ms']:.1f} ms at half of its own")]
