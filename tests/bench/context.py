"""What every section of the bench gets: sizes, tools, servers with databases of members, progress."""
import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import history
from events import Events, file_on_disk, token
from programs import Nginx, Server

HERE = Path(__file__).resolve().parent
BEGAN = time.monotonic()


class Context:
    """
    quick, tiny       which size of run
    rounds, seconds   of each measurement
    members           of the usual database
    soak_seconds      how long the soak lasts
    tmp               a folder that goes away in the end
    binary            mybeing, the release build
    tools             programs made from the C files beside this one, by name
    """

    def __init__(self, build, tmp, quick=False, tiny=False, soak=None):
        self.tmp, self.quick, self.tiny = Path(tmp), quick or tiny, tiny
        self.binary = (build / "mybeing").resolve()
        self.rounds = 1 if tiny else 3 if quick else 5
        self.seconds = 1 if tiny else 2 if quick else 3
        self.members = 200 if tiny else 10_000 if quick else 100_000
        self.soak_seconds = soak or (3 if tiny else 20 if quick else 600)
        self.now = int(time.time())
        self.tools, self.made, self.section = {}, {}, ""

    # ---- progress

    def note(self, text, done=None, total=None):
        """One line of progress on the terminal (always the same line there), or a line each elsewhere."""
        at = f"[{time.monotonic() - BEGAN:6.1f} s] {self.section}: {text}"
        if total:
            at += f" {100 * done // total} %"
        if sys.stderr.isatty():
            print(f"\r\033[K{at[:140]}", end="", file=sys.stderr, flush=True)
        elif not total or done == total:
            print(at, file=sys.stderr, flush=True)

    # ---- things to measure with

    def tool(self, name, *libs):
        """A program from NAME.c beside this file."""
        if name not in self.tools:
            self.tools[name] = self.tmp / name
            subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", self.tools[name], HERE / f"{name}.c", *libs], check=True)
        return self.tools[name]

    def folder(self, name):
        path = self.tmp / name
        n = 2
        while path.exists():
            path = self.tmp / f"{name}{n}"
            n += 1
        path.mkdir()
        return path

    def database(self, members=None):
        """The file of a database of so many members with their history: made once, to be copied."""
        members = members or self.members
        if members not in self.made:
            self.made[members] = history.make(self, Server(self.binary, self.folder(f"members{members}")), members)
        return self.made[members]

    @contextlib.contextmanager
    def own(self, members, **settings):
        """A running server on a database of that size itself: for sizes that nobody else uses."""
        made = self.database(members)
        server = Server(self.binary, made.parent, **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(made.parent)
            del self.made[members]

    @contextlib.contextmanager
    def copy(self, members=None, **settings):
        """A server, not started, on a copy of that database, which goes away afterwards."""
        made = self.database(members)
        server = Server(self.binary, self.folder("server"), **settings)
        shutil.copy(made, server.database)
        file_on_disk(server.database)
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(server.folder)

    @contextlib.contextmanager
    def server(self, members=None, **settings):
        with self.copy(members, **settings) as server:
            server.start()
            yield server

    @contextlib.contextmanager
    def nginx(self, body_size):
        made = Nginx(self.folder("nginx"), body_size)
        try:
            made.start()
            yield made
        finally:
            made.stop()

    def tokens(self, members=None):
        """A file with the tokens of those who pay (their answers cost the most), spread over all of them."""
        members = members or self.members
        path = self.tmp / f"tokens{members}"
        if not path.exists():
            path.write_text("".join(token(n) + "\n" for n in history.some_payers(members)))
        return path

    def events(self, members=None):
        """Stripe's events about those who pay, newer than all the database knows."""
        return Events(history.payers(members or self.members), self.now - 86400 + 3600)

    @staticmethod
    def json(value):
        return json.dumps(value).encode()
