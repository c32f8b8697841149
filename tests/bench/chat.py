"""Chat, beside the same statements in a raw SQLite loop"""
from events import on_disk, request, token
from history import SAID, some_payers
from load import in_turn, replay, wrk
from raw import raw_loop
from report import aim, speed

HISTORY = "/api/chat/history?limit=20"
CALLER = ["session_auth"]
LIST = CALLER + ["chat_conversation_list"]
SAVED = CALLER + ["chat_conversation_put", "chat_message_put", "chat_conversation_touch", "chat_message_get",
                  "chat_message_put", "chat_conversation_touch"]


def saves(ctx, path, count, members=None):
    """A file of requests that save a talk of two messages, of one payer after another."""
    body = ctx.json({"messages": [{"role": "user", "content": SAID[0]}, {"role": "assistant", "content": SAID[1] * 3}]})
    who = some_payers(members or ctx.members)
    with open(path, "wb") as f:
        for i in range(count):
            f.write(request("POST", "/api/chat/save", body, {"Authorization": f"Bearer {token(who[i % len(who)])}"}))
        on_disk(f)
    return path


def run(ctx):
    file = saves(ctx, ctx.tmp / "saves", 500 if ctx.tiny else 30_000)
    with ctx.server() as server, ctx.copy() as bare:
        got = in_turn(ctx, {
            "raw loop, save (64 a commit)": lambda: raw_loop(ctx, bare.database, SAVED, ctx.members, 64),
            "POST /api/chat/save": lambda: replay(ctx, server, file, seconds=ctx.seconds),
            "raw loop, history": lambda: raw_loop(ctx, bare.database, LIST, ctx.members),
            "GET /api/chat/history": lambda: wrk(ctx, server, HISTORY, ctx.tokens())})
    rows, aims = [], []
    for name, raw in (("POST /api/chat/save", "raw loop, save (64 a commit)"),
                      ("GET /api/chat/history", "raw loop, history")):
        rows += [speed(raw, got[raw]), speed(name, got[name], ("the raw loop", got[raw]))]
        aims.append(aim(f"{name}, of the raw loop", rows[-1]["ratio"], at_least=0.6,
                        why=f"the loop takes {got[raw]['cpu_us']:.0f} us a request of one processor, the server "
                            f"{got[name]['cpu_us']:.0f} us with HTTP and JSON"))
    return rows + aims
