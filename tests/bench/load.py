"""Load: wrk for reads, replay.c for posts; rounds in turn; medians."""
import json
import statistics
import subprocess

from events import SECRET
from programs import Failed, cpu_seconds

WRK = """
local file, path = %s, %s
local ready, n = {}, 0
init = function(args)
    if file then
        for token in io.lines(file) do
            ready[#ready + 1] = wrk.format("GET", path, {["Authorization"] = "Bearer " .. token})
        end
    else
        ready[1] = wrk.format("GET", path)
    end
    n = math.random(#ready) %% #ready
end
request = function()
    n = n %% #ready + 1
    return ready[n]
end
local function ms(latency, p) return latency:percentile(p) / 1000 end
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\\nRESULT {"answers":%%d,"per_second":%%.1f,"p50_ms":%%.3f,"p99_ms":%%.3f,"p999_ms":%%.3f,"failures":%%d}\\n',
        summary.requests, summary.requests / summary.duration * 1e6, ms(latency, 50), ms(latency, 99),
        ms(latency, 99.9), e.connect + e.read + e.write + e.status + e.timeout))
end
"""
MEASURES = ("per_second", "p50_ms", "p99_ms", "p999_ms", "cpu_us")


def lua(text):
    return "nil" if text is None else json.dumps(str(text))


def wrk_command(ctx, side, path, tokens=None, connections=64, seconds=None):
    """tokens: a file with a session's token a line, taken in turn."""
    script = ctx.tmp / f"wrk{len(list(ctx.tmp.glob('wrk*.lua')))}.lua"
    script.write_text(WRK % (lua(tokens), lua(path)))
    return ["wrk", "-t2", f"-c{connections}", f"-d{seconds or ctx.seconds}s", "--timeout", "20s", "-s", str(script),
            f"http://127.0.0.1:{side.port}"]


def wrk_result(out, what):
    for line in out.splitlines():
        if line.startswith("RESULT "):
            got = json.loads(line[7:])
            if got["failures"]:
                raise Failed(f"{what}: wrk saw {got['failures']} failures\n{out}")
            return got
    raise Failed(f"{what}: wrk failed: {out}")


def counted(side, run):
    """What run() measured, with the processor time of the side for an answer."""
    before = cpu_seconds(side.pids())
    got = run()
    got["cpu_us"] = (cpu_seconds(side.pids()) - before) / max(got["answers"], 1) * 1e6
    return got


def wrk(ctx, side, path, tokens=None, connections=64, seconds=None):
    command = wrk_command(ctx, side, path, tokens, connections, seconds)

    def run():
        done = subprocess.run(command, capture_output=True, text=True, timeout=(seconds or ctx.seconds) + 120)
        return wrk_result(done.stdout + done.stderr, path)

    return counted(side, run)


def replay(ctx, side, file, connections=64, seconds=10, rate=None):
    """The requests of the file, each once. rate: so many a second, evenly (none: as fast as they are answered)."""
    command = [str(ctx.tool("replay", "-lcrypto")), str(side.port), str(connections), str(seconds), str(file),
               str(rate or 0), SECRET]

    def run():
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120)
        if done.returncode:
            raise Failed(f"replay: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    return counted(side, run)


def median(rounds):
    return {k: round(statistics.median(r[k] for r in rounds), 3) for k in MEASURES if k in rounds[0]}


def in_turn(ctx, sides):
    """Each side once, then again: A B A B …; medians of the rounds by name."""
    got = {name: [] for name in sides}
    for r in range(ctx.rounds):
        for name, side in sides.items():
            ctx.note(f"round {r + 1} of {ctx.rounds}: {name}")
            got[name].append(side())
    return {name: median(r) for name, r in got.items()}
