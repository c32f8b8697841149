"""Starting, watching and ending the programs under test."""
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MYBEING_BUILD", ROOT / "build"))
# Generous: these machines are shared. It bounds a hang, it measures nothing.
PATIENCE = float(os.environ.get("MYBEING_PATIENCE", "60"))


def free_port():
    """A port nobody listens on, outside of the range that outgoing connections take theirs from."""
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0)
    for _ in range(200):
        port = 12200 + (worker % 8) * 2400 + random.randrange(2400)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def wait_until(what, seconds=None, every=0.02, message="it did not come true"):
    """Polls what() until it is true and returns its value."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds or PATIENCE} s: {message}")
        time.sleep(every)


class Process:
    """A program whose lines (both streams) are kept; ended by its pid."""

    def __init__(self, argv, env, cwd):
        self.argv = [str(a) for a in argv]
        self.lines = []
        self._new = threading.Condition()
        self._ended = False
        self.proc = subprocess.Popen(self.argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.proc.stdout:
            with self._new:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._new.notify_all()
        with self._new:
            self._ended = True
            self._new.notify_all()

    def wait_line(self, pattern, seconds=None):
        """The match of the first line that pattern finds."""
        regex, at = re.compile(pattern), 0
        deadline = time.monotonic() + (seconds or PATIENCE)
        with self._new:
            while True:
                while at < len(self.lines):
                    found = regex.search(self.lines[at])
                    if found:
                        return found
                    at += 1
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise AssertionError(f"{self.argv[0]}: no line like {pattern!r}:\n{self.output()[-4000:]}")
                self._new.wait(left)

    def output(self):
        return "\n".join(self.lines)

    def running(self):
        return self.proc.poll() is None

    def signal(self, sig):
        self.proc.send_signal(sig)

    def kill(self):
        """Power off: no chance to tidy up."""
        if self.running():
            self.proc.kill()
        self.proc.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.running():
            self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.argv[0]} did not stop:\n{self.output()[-4000:]}")
        self._reader.join(PATIENCE)
        return code
