"""Every object carries what the document requires, and nothing it does not know."""
from caller import OLD, SCHEMAS, problems


def everything(sandbox, stripe):
    product = stripe.post("/v1/products", {"id": "prod_fixed", "name": "Premium"})
    price = stripe.post("/v1/prices", {"product": product["id"], "currency": "usd", "unit_amount": 3200,
                                       "recurring": {"interval": "month"}, "lookup_key": "k"})
    stripe.post("/v1/coupons", {"id": "twenty", "percent_off": 20, "duration": "once"})
    stripe.post("/v1/promotion_codes", {"promotion": {"type": "coupon", "coupon": "twenty"}, "code": "HELLO"})
    customer = stripe.post("/v1/customers", {"email": "a@example.com", "metadata": {"userId": "7"}})
    session = stripe.post("/v1/checkout/sessions", {
        "mode": "subscription", "customer": customer["id"], "line_items": [{"price": price["id"], "quantity": 1}],
        "success_url": "http://127.0.0.1/ok", "discounts": [{"coupon": "twenty"}],
        "subscription_data": {"metadata": {"userId": "7"}}})
    stripe.session("payment")
    sandbox.pay(session["id"])
    once = stripe.session("payment", 1500, customer=customer["id"])
    sandbox.pay(once["id"])
    once = stripe.get("/v1/checkout/sessions/" + once["id"])
    stripe.post("/v1/refunds", {"payment_intent": once["payment_intent"], "amount": 500})
    sandbox.control("dispute", payment_intent=once["payment_intent"], action="open")
    trial = stripe.session("subscription", subscription_data={"trial_period_days": 14})
    sandbox.pay(trial["id"], card="4000000000000341")
    stripe.post("/v1/billing_portal/configurations", {"features": {"invoice_history": {"enabled": True}}})
    stripe.post("/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/x", "enabled_events": ["price.created"]})
    sandbox.control("clock", advance="+2 months")


LISTS = ["customers", "products", "prices", "coupons", "promotion_codes", "checkout/sessions", "subscriptions",
         "invoices", "invoice_payments", "payment_intents", "charges", "refunds", "disputes",
         "billing_portal/configurations", "webhook_endpoints", "events"]


def test_answers_fit_the_document(sandbox, stripe):
    everything(sandbox, stripe)
    wrong = []
    for name in LISTS:
        page = stripe.get("/v1/" + name, limit=100)
        assert page["object"] == "list" and page["data"], name
        for o in page["data"]:
            wrong += [f"{o['object']} {p}" for p in problems(o, SCHEMAS[o["object"]])]
    portal = stripe.post("/v1/billing_portal/sessions", {"customer": stripe.get("/v1/customers")["data"][0]["id"]})
    wrong += problems(portal, SCHEMAS["billing_portal.session"])
    assert not wrong, "\n".join(sorted(set(wrong))[:40])


def test_events_carry_objects_that_fit(sandbox, stripe):
    everything(sandbox, stripe)
    wrong, seen = [], set()
    for event in sandbox.call("GET", "/_sandbox/events")["data"]:
        o = event["data"]["object"]
        seen.add(event["type"])
        wrong += [f"{event['type']} {p}" for p in problems(o, SCHEMAS[o["object"]])
                  if not (event["type"] == "invoice.upcoming" and p == "$.id: missing")]
    assert {"invoice.upcoming", "charge.failed", "customer.subscription.trial_will_end", "refund.created",
            "charge.dispute.created"} <= seen
    assert not wrong, "\n".join(sorted(set(wrong))[:40])


def test_nothing_of_the_sandbox_itself_leaves_it(sandbox, stripe):
    everything(sandbox, stripe)
    text = "".join(stripe.send("GET", "/v1/" + name, {"limit": 100}).text for name in LISTS)
    assert '"_' not in text


def test_expand(sandbox, stripe, subscribed):
    sub = subscribed()
    full = stripe.get("/v1/subscriptions/" + sub["id"], expand=["customer", "latest_invoice.payments.data.payment.payment_intent"])
    assert full["customer"]["object"] == "customer"
    payment = full["latest_invoice"]["payments"]["data"][0]["payment"]["payment_intent"]
    assert payment["object"] == "payment_intent" and payment["status"] == "succeeded"
    listed = stripe.get("/v1/subscriptions", expand=["data.latest_invoice"])
    assert listed["data"][0]["latest_invoice"]["object"] == "invoice"
    assert isinstance(sub["latest_invoice"], str)
    invoice = stripe.get("/v1/invoices/" + sub["latest_invoice"])
    assert "payments" not in invoice
    session = stripe.get("/v1/checkout/sessions", expand=["data.line_items"])["data"][0]
    assert session["line_items"]["data"][0]["amount_total"] == 3200
    assert "cannot be expanded" in stripe.refused("/v1/subscriptions/" + sub["id"], {"expand": ["nonsense"]},
                                                  method="GET")["message"]


def test_the_old_shape_by_version(sandbox, stripe, subscribed):
    sub = subscribed()
    new = stripe.get("/v1/invoices/" + sub["latest_invoice"])
    old = stripe.send("GET", "/v1/invoices/" + sub["latest_invoice"], version=OLD).body
    assert new["parent"]["subscription_details"]["subscription"] == sub["id"] and "subscription" not in new
    assert old["subscription"] == sub["id"] and old["paid"] is True and "parent" not in old
    line = old["lines"]["data"][0]
    assert line["price"]["unit_amount"] == 3200 and line["proration"] is False and "pricing" not in line
    old_sub = stripe.send("GET", "/v1/subscriptions/" + sub["id"], version=OLD).body
    item = sub["items"]["data"][0]
    assert old_sub["current_period_end"] == item["current_period_end"]
    assert "current_period_end" not in old_sub["items"]["data"][0] and "current_period_end" not in sub
    intent = stripe.send("GET", "/v1/payment_intents/" + old["payment_intent"], version=OLD).body
    assert intent["invoice"] == old["id"]
    charge = stripe.send("GET", "/v1/charges/" + old["charge"], version=OLD).body
    assert charge["invoice"] == old["id"]
    assert "invoice" not in stripe.get("/v1/charges/" + old["charge"])


def test_old_shape_of_webhooks(make_sandbox):
    from caller import Hook, Stripe
    from harness.server import WEBHOOK_SECRET
    box = make_sandbox(shape="legacy")
    hook = Hook(WEBHOOK_SECRET)
    try:
        box.control("forward", url=hook.url)
        session = Stripe(box.base).session()
        box.pay(session["id"])
        box.settle()
        paid = next(e for e in hook.events if e["type"] == "invoice.paid")
        assert paid["api_version"] == OLD and paid["data"]["object"]["subscription"].startswith("sub_")
        assert not hook.bad
    finally:
        hook.close()
