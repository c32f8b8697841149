"""Speed, beside nginx, the disk and the bare database: one run, the sides in turn (A B A B), medians.

    bench.py BUILD [--quick] [--only SECTION,...] [--json | --markdown] [--write-docs]     (./dev bench builds first)

Absolute figures belong to the machine and its other work; the ratios are what to compare.

A section is a module beside this one with a docstring (its title) and a function run(ctx) that returns rows made by
report.speed(), fact() and aim(); ctx is context.Context. To add one: write it and name it in SECTIONS.
"""
import argparse
import importlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import report
from context import Context
from programs import Failed

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = ("rest", "reads", "webhooks", "chat", "talks", "streams", "active", "growth", "postgres", "jobs", "soak")


def section(name):
    module = importlib.import_module(name)
    return module, module.__doc__.splitlines()[0].rstrip(".")


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench", description="Speed, beside nginx, the disk and the bare database.")
    p.add_argument("build", type=pathlib.Path, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="10,000 members, 3 short rounds")
    p.add_argument("--tiny", action="store_true", help="only to see that it works: its figures mean nothing")
    p.add_argument("--only", metavar="SECTION,...", help="these sections")
    p.add_argument("--soak", type=int, metavar="SECONDS", help="how long the soak lasts (600; --quick: 20)")
    p.add_argument("--list", action="store_true", help="the sections there are")
    p.add_argument("--json", action="store_true")
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--write-docs", action="store_true", help="the tables of docs/performance.md anew")
    args = p.parse_args()
    args.only = args.only.split(",") if args.only else list(SECTIONS)
    unknown = [s for s in args.only if s not in SECTIONS]
    if unknown:
        p.error(f"no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    return args


def line_of(path, start):
    for line in open(path):
        if line.startswith(start):
            return line.split(":", 1)[1].strip()
    return "unknown"


def about_run(ctx, seconds, failed):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {"members": ctx.members, "rounds": ctx.rounds, "quick": ctx.quick, "seconds": round(seconds),
            "failed": failed, "date": time.strftime("%Y-%m-%d"), "processors": os.cpu_count(),
            "processor": line_of("/proc/cpuinfo", "model name"), "commit": commit.stdout.strip() or "unknown"}


def open_many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 25_000 if hard == resource.RLIM_INFINITY else min(25_000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def run_sections(ctx, names):
    """([(name, title, rows)], names of those that failed): one that fails does not stop the others."""
    done, failed = [], []
    for i, name in enumerate(names):
        module, title = section(name)
        ctx.section = f"{i + 1}/{len(names)} {name}"
        try:
            done.append((name, title, module.run(ctx)))
        except (Failed, OSError, subprocess.SubprocessError, KeyError, ValueError, AssertionError) as e:
            failed.append(name)
            print(f"\nsection {name} failed: {e}", file=sys.stderr)
            if not isinstance(e, Failed):
                traceback.print_exc()
    return done, failed


def main():
    args = arguments()
    if args.list:
        for name in SECTIONS:
            print(f"{name:<10} {section(name)[1]}")
        return 0
    open_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders go too
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mybeing-bench-") as tmp:
        ctx = Context(args.build, tmp, args.quick, args.tiny, args.soak)
        done, failed = run_sections(ctx, args.only)
        ctx.section = "done"
        ctx.note(f"{len(done)} sections")
    if sys.stderr.isatty():
        print(file=sys.stderr)
    about = about_run(ctx, time.monotonic() - began, failed)
    if args.write_docs:
        report.write_docs(ROOT / "docs/performance.md", report.summary(done, about))
    if args.json:
        print(report.as_json(done, about))
    else:
        print(report.summary(done, about) if args.markdown else report.plain(done), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
