"""Chat: save a talk, read the history"""
import json

from events import request, token
from load import in_turn, replay, wrk
from report import speed

TALK = [{"role": "user", "content": "I sleep badly, since weeks. " * 4},
        {"role": "assistant", "content": "Since when, and what keeps you awake? " * 8}]
SAVE = json.dumps({"messages": TALK}).encode()
HISTORY = "/api/chat/history?limit=20"


def saves(path, count, members):
    """A file of requests that save a talk, of one member after another."""
    with open(path, "wb") as f:
        for n in range(count):
            f.write(request("POST", "/api/chat/save", SAVE, {"Authorization": f"Bearer {token(n * 7919 % members)}"}))
    return path


def run(ctx):
    file = saves(ctx.tmp / "saves", 500 if ctx.tiny else 20_000, ctx.members)
    with ctx.server() as server:
        got = in_turn(ctx, {
            "POST /api/chat/save": lambda: replay(ctx, server, file, seconds=ctx.seconds),
            "GET /api/chat/history": lambda: wrk(ctx, server, HISTORY, ctx.tokens())})
    return [speed(k, v) for k, v in got.items()]
