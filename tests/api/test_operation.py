"""Operations at Stripe: stored before the first attempt, gone on with after a crash, reconciled, never resent."""
import threading

import pytest
import requests

from harness import wait_until
from harness.process import PATIENCE

KEY = {"Authorization": "Bearer sk_test_harness"}


def stripe(sandbox, path, **params):
    a = requests.get(sandbox.base + path, params=params, headers=KEY, timeout=PATIENCE)
    assert a.status_code == 200, a.text
    return a.json()["data"]


@pytest.fixture
def quiet(make_server, sandbox):
    made = make_server(sandbox=sandbox)
    made.cli("setup", "stripe", "--yes", "--no-webhook")
    return made


def test_killed_while_stripe_answers(quiet, sandbox):
    """kill -9 between the call and its answer: the next attempt has the same key, so there is one session."""
    m = quiet.member()
    assert m.post("/api/subscription/create").status == 200
    first = stripe(sandbox, "/v1/checkout/sessions")[0]["id"]
    requests.post(f"{sandbox.base}/v1/checkout/sessions/{first}/expire", headers=KEY, timeout=PATIENCE)
    sandbox.fault("slow", count=1, path="/v1/checkout/sessions", method="POST", ms=8000)

    def ask():
        try:
            m.post("/api/subscription/create")
        except requests.RequestException:
            pass

    t = threading.Thread(target=ask)
    t.start()
    wait_until(lambda: len(stripe(sandbox, "/v1/checkout/sessions", limit=100)) == 2)
    quiet.kill()
    t.join()
    quiet.start()
    made = wait_until(lambda: (lambda a: a.status == 200 and a.json)(m.post("/api/subscription/create")))
    all_ = stripe(sandbox, "/v1/checkout/sessions", limit=100)
    assert len(all_) == 2 and made["sessionId"] in [s["id"] for s in all_ if s["id"] != first]


def test_a_job_goes_on_with_it(quiet, sandbox):
    m = quiet.member()
    sandbox.fault("down", count=1000, path="/v1/checkout/sessions", method="POST")
    a = m.post("/api/subscription/create")
    assert a.status == 503, a
    assert not stripe(sandbox, "/v1/checkout/sessions")
    sandbox.fault("clear")
    quiet.clock("+1", "hours")
    wait_until(lambda: len(stripe(sandbox, "/v1/checkout/sessions", limit=100)) == 1)
    quiet.settle()
    made = m.post("/api/subscription/create")
    assert made.status == 200 and made.json["sessionId"] == stripe(sandbox, "/v1/checkout/sessions")[0]["id"]


def test_after_a_day_it_is_looked_up_and_not_resent(quiet, sandbox):
    """The answer was lost and Stripe has forgotten the key: what came of it is found by its mark."""
    m = quiet.member()
    sandbox.fault("lost_answer", count=1000, path="/v1/customers", method="POST")
    a = m.post("/api/subscription/create")
    assert a.status == 503, a
    (lost,) = stripe(sandbox, "/v1/customers", limit=100)
    quiet.clock("+25", "hours")
    sandbox.fault("clear")  # only now: before, the same key would have brought the answer
    a = wait_until(lambda: (lambda x: x.status == 200 and x)(m.post("/api/subscription/create")))
    (one,) = stripe(sandbox, "/v1/customers", limit=100)
    assert one["id"] == lost["id"]
    assert stripe(sandbox, "/v1/checkout/sessions")[0]["customer"] == lost["id"]
