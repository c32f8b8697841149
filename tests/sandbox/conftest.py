import pytest

from caller import Hook, Stripe
from harness.server import WEBHOOK_SECRET


@pytest.fixture
def stripe(sandbox):
    return Stripe(sandbox.base)


@pytest.fixture
def hook(sandbox):
    """A receiver that gets every webhook; what it got was signed."""
    made = Hook(WEBHOOK_SECRET)
    sandbox.control("forward", url=made.url)
    yield made
    made.close()
    assert not made.bad, "a webhook was not signed as it should be"


@pytest.fixture
def subscribed(sandbox, stripe):
    """subscribed(card=…, **session): a paid subscription, read back."""
    def make(card="4242424242424242", amount=3200, **more):
        session = stripe.session(amount=amount, **more)
        paid = sandbox.pay(session["id"], card=card)
        assert paid["status"] == "complete", paid
        session = stripe.get("/v1/checkout/sessions/" + session["id"])
        return stripe.get("/v1/subscriptions/" + session["subscription"])
    return make


@pytest.fixture
def bought(sandbox, stripe):
    """bought(**session): a paid one-time session, read back."""
    def make(card="4242424242424242", amount=3200, **more):
        session = stripe.session("payment", amount=amount, **more)
        paid = sandbox.pay(session["id"], card=card)
        assert paid["status"] == "complete", paid
        return stripe.get("/v1/checkout/sessions/" + session["id"])
    return make
