#!/usr/bin/env python3
"""./dev run: the server with the sandbox beside it, until Ctrl-C. Data stay in var/dev/."""
import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
VAR = ROOT / "var" / "dev"


def read_line(proc, pattern):
    for raw in proc.stdout:
        line = raw.decode("utf-8", "replace")
        found = re.search(pattern, line)
        if found:
            return found.group(1)
        sys.stderr.write(line)
    sys.exit("the sandbox did not start: is its port taken? SANDBOX_PORT=N ./dev run chooses another")


def main():
    port = os.environ.get("PORT", "3000")
    base = os.environ.get("BASE_URL", f"http://localhost:{port}")
    VAR.mkdir(parents=True, exist_ok=True)
    secret = "whsec_development_only"
    sandbox = subprocess.Popen([BUILD / "sandbox/mybeing-sandbox", "--quiet", "--port", os.environ.get("SANDBOX_PORT", "12111"),
                                "--webhook-secret", secret, "--forward-to", f"http://127.0.0.1:{port}/api/webhooks/stripe"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    stripe = read_line(sandbox, r"listening on (http://[0-9.:]+)")
    env = {
        "MYBEING_ENV": "dev",
        "DATABASE_URL": f"sqlite:{VAR}/mybeing.db",
        "PORT": port,
        "BASE_URL": base,
        "STRIPE_SECRET_KEY": "sk_test_development",
        "STRIPE_WEBHOOK_SECRET": secret,
        "STRIPE_API_BASE": stripe,
        "EMAIL_PROVIDER": "console",
        "EMAIL_CONSOLE_DIR": str(VAR / "mail"),
        "EMAIL_FROM": "MyBeing <hello@mybeing.example>",
        **os.environ,
    }
    # The plan's price and the portal; events come by --forward-to.
    subprocess.run([BUILD / "mybeing", "setup", "stripe", "--yes", "--no-webhook"], env=env, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, check=True)
    print(f"""
  MyBeing          {base}
  Stripe sandbox   {stripe}   (card 4242 4242 4242 4242 pays)
  Mail             {VAR.relative_to(ROOT)}/mail
  Another month    MYBEING_ENV=dev DATABASE_URL={env['DATABASE_URL']} STRIPE_API_BASE={stripe} \\
                     ./build/mybeing dev clock +1 month
  Ctrl-C stops both.
""", flush=True)
    server = subprocess.Popen([BUILD / "mybeing", "serve"], env=env, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()
        code = server.wait()
    sandbox.terminate()
    sandbox.wait()
    sys.exit(code)


main()
