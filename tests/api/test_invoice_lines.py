"""An invoice with more lines than one page: which period it pays is looked up on all of them."""
import time

import pytest

from harness.stripe_events import DAY, Subscriber, deliver
from little_stripe import LittleStripe


class Paged(LittleStripe):
    """One invoice and its lines; asked = the pages that were fetched."""

    def __init__(self):
        super().__init__()
        self.invoice, self.lines, self.asked = None, [], []

    def do(self, method, path, form):
        if self.invoice and path == f"/v1/invoices/{self.invoice['id']}":
            return 200, {**self.invoice, "payments": {"object": "list", "data": [], "has_more": False}}
        if self.invoice and path == f"/v1/invoices/{self.invoice['id']}/lines":
            self.asked.append(form.get("starting_after"))
            at = [line["id"] for line in self.lines].index(form["starting_after"]) + 1
            n = int(form.get("limit", 10))
            return 200, {"object": "list", "url": path, "data": self.lines[at:at + n], "has_more": at + n < len(self.lines)}
        return super().do(method, path, form)


@pytest.fixture
def stripe():
    s = Paged()
    yield s
    s.close()


def test_the_period_is_found_on_the_last_page(make_server, stripe):
    server = make_server(sandbox=stripe)
    member = server.member("m@example.com")
    now = int(time.time())
    s = Subscriber(member.user_id, now - 40 * DAY)
    first, second = s.start, s.start + 30 * DAY
    deliver(server, s.customer_created(), s.subscription("created", start=first, at=first), *s.month(first))
    assert member.entitlements()["premium"] is False    # unpaid for ten days
    paid = s.invoice("paid", start=second, at=second + 60)
    o = paid["data"]["object"]
    whole = o["lines"]["data"][0]
    parent = {"type": "subscription_item_details", "subscription_item_details": {"subscription": s.id, "proration": True}}
    small = [{**whole, "id": f"il_{i}", "amount": 1, "parent": parent, "period": {"start": first, "end": first + i + 1}}
             for i in range(250)]
    stripe.lines = [*small, {**whole, "id": "il_whole"}]
    o["lines"] = {"object": "list", "data": stripe.lines[:10], "has_more": True}
    stripe.invoice = o
    deliver(server, s.subscription(start=second, at=second + 60), paid)
    server.settle()
    assert stripe.asked == ["il_9", "il_109", "il_209"]
    got = member.entitlements()
    assert got["premium"] is True
    assert got["accessUntil"][:10] == time.strftime("%Y-%m-%d", time.gmtime(second + 33 * DAY))
