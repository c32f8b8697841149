#!/usr/bin/env python3
"""./dev life [--seed N] [--steps N] [--engine sqlite|pg] [--start SECOND]: one random life, told as it goes."""
import argparse
import pathlib
import random
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1]), str(pathlib.Path(__file__).resolve().parent)]

from life import Mismatch  # noqa: E402
from test_life import live  # noqa: E402


def main():
    p = argparse.ArgumentParser(prog="./dev life", description="A random life of members, held to the rules step by step.")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    p.add_argument("--steps", type=int, default=10_000)
    p.add_argument("--engine", choices=("sqlite", "pg"), default="sqlite")
    p.add_argument("--start", type=int, help="the second at which it begins (the next whole hour)")
    a = p.parse_args()
    print(f"seed {a.seed}, {a.steps} steps", flush=True)
    began = time.monotonic()
    try:
        _, life = live(a.seed, a.steps, a.engine, start=a.start)
    except Mismatch as e:
        print(e)
        return 1
    took = time.monotonic() - began
    print(f"{life.compared} answers as the rules say, {life.skipped} near a boundary not asked, "
          f"{a.steps / took:.0f} steps/s")
    print(", ".join(f"{k} {v}" for k, v in sorted(life.counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
