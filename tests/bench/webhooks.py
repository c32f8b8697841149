"""Durable webhooks beside the disk, and reads beside them"""
import subprocess
import threading

from load import in_turn, median, replay, wrk
from report import aim, fact, speed

READS = "/api/user/entitlements"


def disk(ctx):
    """Serial fdatasync of 4 KiB appends on the same file system."""
    out = subprocess.run([ctx.tool("fsync_loop"), ctx.tmp, "4096", "1"], check=True, capture_output=True, text=True,
                         timeout=60)
    return {"per_second": float(out.stdout)}


def beside(ctx, server, events, rate):
    """Reads at 64 connections while webhooks come at that rate."""
    seconds = ctx.seconds + 1
    file = events.write(ctx.tmp / "events", int(rate * (seconds + 2)))
    got = {}
    sender = threading.Thread(target=lambda: got.update(replay(ctx, server, file, 64, seconds + 1, rate)))
    sender.start()
    reads = wrk(ctx, server, READS, ctx.tokens(), seconds=seconds)
    sender.join()
    return reads, got


def run(ctx):
    count = 500 if ctx.tiny else 15_000 if ctx.quick else 30_000
    events, file = ctx.events(), ctx.tmp / "events"
    with ctx.server() as grouped, ctx.server(MYBEING_BATCH="1") as alone:
        got = in_turn(ctx, {
            "disk, serial fdatasync": lambda: disk(ctx),
            "webhooks": lambda: replay(ctx, grouped, events.write(file, count)),
            "webhooks, one commit each": lambda: replay(ctx, alone, events.write(file, count // 5))})
        bare, mine, each = got["disk, serial fdatasync"], got["webhooks"], got["webhooks, one commit each"]
        ctx.note("reads while webhooks run at half their maximum")
        both = [beside(ctx, grouped, events, mine["per_second"] / 2) for _ in range(ctx.rounds)]
    reads, sent = median([r for r, _ in both]), median([s for _, s in both])
    return [fact("an event", len(events.one()), "bytes with its head"),
            speed("disk, serial fdatasync", bare), speed("webhooks", mine, ("fdatasync", bare)),
            speed("webhooks, one commit each", each, ("fdatasync", bare)),
            speed("webhooks at half their maximum", {k: v for k, v in sent.items() if k != "cpu_us"}),
            speed("entitlement reads beside them", {k: v for k, v in reads.items() if k != "cpu_us"}),
            aim("webhooks, of serial fdatasync", round(mine["per_second"] / bare["per_second"], 2), at_least=2.0,
                why=f"{mine['cpu_us']:.0f} us of processor an event"),
            aim("webhooks, of serial fdatasync, then", round(mine["per_second"] / bare["per_second"], 2), at_least=3.5),
            aim("webhooks, of one commit each", round(mine["per_second"] / each["per_second"], 2), at_least=5.0),
            aim("webhooks, p99 at 64 connections", mine["p99_ms"], at_most=10.0, unit="ms",
                why=f"all 64 at once at the maximum: half of them wait {mine['p50_ms']:.1f} ms"),
            aim("reads' p99.9 while webhooks run at half their maximum", reads["p999_ms"], at_most=10.0, unit="ms",
                why="reads at their own maximum at the same time")]
