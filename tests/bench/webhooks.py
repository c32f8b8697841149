"""Durable webhooks beside the disk, and reads beside them"""
import json
import os
import statistics
import subprocess
import threading
import time

from load import in_turn, median, replay, wrk
from programs import busy_seconds
from reads import PATH, asks, evenly
from report import aim, fact, speed


def disk(ctx, size=4096, seconds=1, rate=None):
    """Appends, each with its fdatasync, on the same file system; rate: so many a second, one fdatasync for all that are due."""
    command = [ctx.tool("fsync_loop"), ctx.tmp, size, seconds, *([rate] if rate else [])]
    out = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, timeout=seconds + 60)
    return json.loads(out.stdout)


def beside(ctx, server, events, rate, reads):
    """What reads() measures while webhooks come at that rate; how they fare; and processors busy meanwhile."""
    file = events.write(ctx.tmp / "events", int(rate * (ctx.seconds + 3)))
    got = {}
    sender = threading.Thread(target=lambda: got.update(replay(ctx, server, file, 64, ctx.seconds + 2, rate)))
    sender.start()
    began, busy = time.monotonic(), busy_seconds()
    read = reads()
    read["busy"] = (busy_seconds() - busy) / (time.monotonic() - began)
    sender.join()
    return read, got


def both(ctx, *args):
    """Medians of rounds of beside()."""
    rounds = [beside(ctx, *args) for _ in range(ctx.rounds)]
    reads, sent = ({k: v for k, v in median(list(side)).items() if k != "cpu_us"} for side in zip(*rounds))
    return reads, sent, statistics.median(r["busy"] for r, _ in rounds)


def run(ctx):
    count = 500 if ctx.tiny else 15_000 if ctx.quick else 30_000
    events, file, seconds = ctx.events(), ctx.tmp / "events", ctx.seconds + 1
    asks(ctx)
    with ctx.server() as grouped, ctx.server(MYBEING_BATCH="1") as alone:
        got = in_turn(ctx, {
            "disk, serial fdatasync": lambda: {"per_second": disk(ctx)["per_second"]},
            "webhooks": lambda: replay(ctx, grouped, events.write(file, count)),
            "webhooks, one commit each": lambda: replay(ctx, alone, events.write(file, count // 5)),
            "reads": lambda: wrk(ctx, grouped, PATH, ctx.tokens())})
        bare, mine, each, most = got.values()
        # Webhooks at half leave half of the processors; reads at a quarter leave half of that.
        half, quarter = mine["per_second"] / 2, most["per_second"] / 4
        ctx.note("reads at a quarter while webhooks run at half of their maximum")
        reads, sent, busy = both(ctx, grouped, events, half, lambda: evenly(ctx, grouped, quarter, seconds))
        ctx.note("reads without a pause while webhooks run at half of their maximum")
        hard, starved, _ = both(ctx, grouped, events, half, lambda: wrk(ctx, grouped, PATH, ctx.tokens(), seconds=seconds))
    return [fact("an event", len(events.one()), "bytes with its head"),
            speed("disk, serial fdatasync", bare), speed("webhooks", mine, ("fdatasync", bare)),
            speed("webhooks, one commit each", each, ("fdatasync", bare)),
            speed("entitlement reads alone", most),
            speed("webhooks at half of their maximum", sent), speed("reads beside them, at a quarter of theirs", reads),
            speed("webhooks at half of their maximum, again", starved), speed("reads beside them, without a pause", hard),
            fact("processors busy with webhooks at half, reads at a quarter", round(busy, 2), f"of {os.cpu_count()}"),
            aim("webhooks, of serial fdatasync", round(mine["per_second"] / bare["per_second"], 2), at_least=2.0,
                why=f"{mine['cpu_us']:.0f} us of processor an event"),
            aim("webhooks, of serial fdatasync, then", round(mine["per_second"] / bare["per_second"], 2), at_least=3.5),
            aim("webhooks, of one commit each", round(mine["per_second"] / each["per_second"], 2), at_least=5.0),
            aim("webhooks, p99 at 64 connections", mine["p99_ms"], at_most=10.0, unit="ms",
                why=f"all 64 at once at the maximum: half of them wait {mine['p50_ms']:.1f} ms"),
            aim("reads' p99.9 at a quarter while webhooks run at half of their maximum", reads["p999_ms"], at_most=10.0, unit="ms",
                why=f"{busy:.2f} processors are busy")]
