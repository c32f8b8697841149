"""Durable webhooks beside the disk"""
import subprocess

from load import in_turn, replay
from report import aim, speed


def disk(ctx):
    """Serial fdatasync of 4 KiB appends on the same file system."""
    out = subprocess.run([ctx.tools["fsync_loop"], ctx.tmp, "4096", "1"], check=True, capture_output=True, text=True,
                         timeout=60)
    return {"per_second": float(out.stdout)}


def run(ctx):
    count = 500 if ctx.tiny else 20_000 if ctx.quick else 40_000
    events, file = ctx.events(), ctx.tmp / "events"
    with ctx.server() as grouped, ctx.server(MYBEING_BATCH="1") as alone:
        got = in_turn(ctx, {
            "disk, serial fdatasync": lambda: disk(ctx),
            "webhooks": lambda: replay(ctx, grouped, events.write(file, count)),
            "webhooks, one commit each": lambda: replay(ctx, alone, events.write(file, count // 5))})
    bare, mine, each = got["disk, serial fdatasync"], got["webhooks"], got["webhooks, one commit each"]
    return [speed("disk, serial fdatasync", bare), speed("webhooks", mine, ("fdatasync", bare)),
            speed("webhooks, one commit each", each, ("fdatasync", bare)),
            aim("webhooks, of serial fdatasync", round(mine["per_second"] / bare["per_second"], 2), at_least=2.0),
            aim("webhooks, of one commit each", round(mine["per_second"] / each["per_second"], 2), at_least=5.0),
            aim("webhooks, p99 at 64 connections", mine["p99_ms"], at_most=10.0, unit="ms")]
