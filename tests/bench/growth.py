"""Growth: the cost of a request from a thousand members to a million"""
import contextlib

from chat import HISTORY, saves
from load import in_turn, replay, wrk
from reads import PATH
from report import aim, fact, speed

LIMIT = 1.3
CONNECTIONS = 16
ANEW = {"MYBEING_MEMO": "0"}  # kept rows, which a small database gains most from, would look like growth


def paths(ctx, server, members, events):
    """The hot paths on a database of that size: (name, function that measures it)."""
    count = 200 if ctx.tiny else 8_000

    def webhooks():
        return replay(ctx, server, events.write(ctx.tmp / "events", count), CONNECTIONS)

    def talks():
        file = ctx.tmp / f"saves{members}"
        if not file.exists():
            saves(ctx, file, count, members)
        return replay(ctx, server, file, CONNECTIONS, ctx.seconds)

    return {"entitlements": lambda: wrk(ctx, server, PATH, ctx.tokens(members), CONNECTIONS),
            "webhooks": webhooks, "chat save": talks,
            "chat history": lambda: wrk(ctx, server, HISTORY, ctx.tokens(members), CONNECTIONS)}


def run(ctx):
    sizes = (200, 500) if ctx.tiny else (1_000, 10_000, 100_000) if ctx.quick else (1_000, 100_000, 1_000_000)
    with contextlib.ExitStack() as stack:
        sides = {}
        for members in sizes:
            server = stack.enter_context(ctx.server(members, **ANEW) if members == ctx.members
                                         else ctx.own(members, **ANEW))
            for name, measure in paths(ctx, server, members, ctx.events(members)).items():
                sides[f"{name}, {members:,} members"] = measure
        order = sorted(sides, key=lambda name: name.split(",")[0])  # a path's sizes one after another
        got = in_turn(ctx, {name: sides[name] for name in order})
    rows, aims = [speed(name, got[name]) for name in order], []
    for name in ("entitlements", "webhooks", "chat save", "chat history"):
        few, many = got[f"{name}, {sizes[0]:,} members"], got[f"{name}, {sizes[-1]:,} members"]
        aims.append(aim(f"{name}: processor time, {sizes[-1]:,} beside {sizes[0]:,} members",
                        round(many["cpu_us"] / few["cpu_us"], 2), at_most=LIMIT))
        aims.append(aim(f"{name}: median latency, {sizes[-1]:,} beside {sizes[0]:,} members",
                        round(many["p50_ms"] / few["p50_ms"], 2), at_most=LIMIT))
    return [fact("connections", CONNECTIONS), fact("rows kept", "no: every row is read anew"), *rows, *aims]
