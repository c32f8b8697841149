#!/usr/bin/env python3
"""./dev run: the server with the sandbox beside it, until Ctrl-C. Data stay in var/dev/.

run_dev.py                 start both
run_dev.py mybeing ARGS    `mybeing ARGS` with the settings of the last start
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
VAR = ROOT / "var" / "dev"
SETTINGS = VAR / "settings.json"
MEMORY = VAR / "sandbox.json"
DATABASE = VAR / "mybeing.db"


def taken(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def port_of(name, default):
    text = os.environ.get(name, default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"{name}={text} is not a port; try {name}={default} ./dev run")
    if taken(int(text)):
        sys.exit(f"Port {text} is taken: is another ./dev run going? Else choose one: {name}={int(text) + 1} ./dev run")
    return text


def settings(port, stripe, secret):
    return {
        "MYBEING_ENV": "dev",
        "DATABASE_URL": f"sqlite:{DATABASE}",
        "PORT": port,
        "BASE_URL": f"http://localhost:{port}",
        "STRIPE_SECRET_KEY": "sk_test_development",
        "STRIPE_WEBHOOK_SECRET": secret,
        "STRIPE_API_BASE": stripe,
        "EMAIL_PROVIDER": "console",
        "EMAIL_CONSOLE_DIR": str(VAR / "mail"),
        "EMAIL_FROM": "MyBeing <hello@mybeing.example>",
    }


def start_sandbox(port, secret, server_port):
    sandbox = subprocess.Popen(
        [BUILD / "sandbox/mybeing-sandbox", "--quiet", "--port", port, "--webhook-secret", secret, "--state", MEMORY,
         "--forward-to", f"http://127.0.0.1:{server_port}/api/webhooks/stripe"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    for raw in sandbox.stdout:
        found = re.search(r"listening on (http://[0-9.:]+)", raw.decode("utf-8", "replace"))
        if found:
            return sandbox, found.group(1)
    sys.exit("The sandbox did not start; what it said stands above.")


def greet(env, stripe):
    print(f"""
  Open          {env['BASE_URL']}
                register, subscribe, pay with 4242 4242 4242 4242 (0000 0002 at the end is declined)
  Stripe        {stripe} plays it: no account, no real money
  Letters       {VAR.relative_to(ROOT)}/mail/ (nothing is sent)
  Data          {VAR.relative_to(ROOT)}/ (remove it to begin anew)
  A month on    ./dev mybeing dev clock +1 month     what else: ./dev mybeing help
  Ctrl-C stops both.
""", flush=True)


def run():
    if DATABASE.exists() and not MEMORY.exists():
        sys.exit(f"{VAR.relative_to(ROOT)}/ holds a database but not the sandbox's memory of its payments. Begin anew: "
                 f"rm -r {VAR.relative_to(ROOT)} && ./dev run")
    port, stripe_port = port_of("PORT", "3000"), port_of("SANDBOX_PORT", "12111")
    VAR.mkdir(parents=True, exist_ok=True)
    secret = "whsec_development_only"
    sandbox, stripe = start_sandbox(stripe_port, secret, port)
    server = None
    try:
        env = {**settings(port, stripe, secret), **os.environ}
        SETTINGS.write_text(json.dumps(settings(port, stripe, secret), indent=1))
        # The plan's price and the portal; events come by --forward-to.
        done = subprocess.run([BUILD / "mybeing", "setup", "stripe", "--yes", "--no-webhook"], env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            return done.returncode  # it said why
        greet(env, stripe)
        server = subprocess.Popen([BUILD / "mybeing", "serve"], env=env, stdin=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()
    except KeyboardInterrupt:
        if server is None:
            return 130
        server.terminate()
        return server.wait()
    finally:
        sandbox.terminate()
        sandbox.wait()


def mybeing(args):
    if not SETTINGS.exists():
        sys.exit("There is nothing to talk to yet: start ./dev run first, in another terminal.")
    env = {**json.loads(SETTINGS.read_text()), **os.environ}
    os.execve(BUILD / "mybeing", ["mybeing", *args], env)


if sys.argv[1:2] == ["mybeing"]:
    mybeing(sys.argv[2:])
elif sys.argv[1:]:
    sys.exit("usage: ./dev run   (PORT=N SANDBOX_PORT=N choose other ports)")
else:
    sys.exit(run())
