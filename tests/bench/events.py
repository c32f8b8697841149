"""Members of the bench, and Stripe's events about them, of true size and shape, as requests for replay.c, which signs them."""
import hashlib
import json
import os

SECRET = "whsec_only_for_the_bench"
UNSIGNED = "t=0000000000,v1=" + "0" * 64  # replay.c fills it in when it sends
DAY = 86400
NO_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def on_disk(f):
    """What was written to f: the disk is not to be busy with it while the server is measured."""
    f.flush()
    os.fsync(f.fileno())


def file_on_disk(path):
    with open(path, "rb+") as f:
        on_disk(f)


def user(n):
    return f"usr_01900000-0000-7000-8000-{n:012d}"


def tag(n):
    """What Stripe's ids of member n hold."""
    return f"bench{n:09d}"


def token(n):
    return "mb_st_" + hashlib.sha256(b"bench%d" % n).hexdigest()[:43]


# ---- Stripe's objects, with the fields that are there and that nobody reads


def nothing(names):
    return dict.fromkeys(names.split())


def customer(n, created):
    return {"id": f"cus_{tag(n)}", "object": "customer", "address": None, "balance": 0, "created": created,
            "currency": None, "default_source": None, "delinquent": False, "description": None, "discount": None,
            "email": f"{tag(n)}@example.com", "invoice_prefix": f"{n:08X}",
            "invoice_settings": nothing("custom_fields default_payment_method footer rendering_options"),
            "livemode": False, "metadata": {"userId": user(n)}, "name": f"Member {n}", "next_invoice_sequence": 1,
            "phone": None, "preferred_locales": [], "shipping": None, "tax_exempt": "none", "test_clock": None}


def price(created):
    return {"id": "price_1PgafmB7WZ01zgkW6dKueIc5", "object": "price", "active": True, "billing_scheme": "per_unit",
            "created": created, "currency": "usd", "custom_unit_amount": None, "livemode": False,
            "lookup_key": "mybeing_premium_monthly", "metadata": {}, "nickname": None,
            "product": "prod_QXg1hqf4jFNsqG",
            "recurring": {"interval": "month", "interval_count": 1, "meter": None, "trial_period_days": None,
                          "usage_type": "licensed"},
            "tax_behavior": "unspecified", "tiers_mode": None, "transform_quantity": None, "type": "recurring",
            "unit_amount": 3200, "unit_amount_decimal": "3200"}


def subscription(n, start, since, **more):
    """start: of the running period; since: of the first."""
    item = {"id": f"si_{tag(n)}", "object": "subscription_item", "billing_thresholds": None, "created": since,
            "current_period_end": start + 30 * DAY, "current_period_start": start, "discounts": [], "metadata": {},
            "price": price(since), "quantity": 1, "subscription": f"sub_{tag(n)}", "tax_rates": []}
    return {"id": f"sub_{tag(n)}", "object": "subscription", "application": None, "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": since, "billing_cycle_anchor_config": None, "billing_mode": {"type": "classic"},
            "billing_thresholds": None, "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None,
            "cancellation_details": nothing("comment feedback reason"), "collection_method": "charge_automatically",
            "created": since, "currency": "usd", "customer": f"cus_{tag(n)}", "days_until_due": None,
            "default_payment_method": f"pm_{tag(n)}", "default_source": None, "default_tax_rates": [],
            "description": None, "discounts": [], "ended_at": None,
            "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
            "items": {"object": "list", "data": [item], "has_more": False, "total_count": 1,
                      "url": f"/v1/subscription_items?subscription=sub_{tag(n)}"},
            "latest_invoice": f"in_{tag(n)}_{start}", "livemode": False, "metadata": {"userId": user(n)},
            "next_pending_invoice_item_invoice": None, "on_behalf_of": None, "pause_collection": None,
            "payment_settings": {"payment_method_options": {"card": {"network": None,
                                                                     "request_three_d_secure": "automatic"}},
                                 "payment_method_types": ["card"], "save_default_payment_method": "off"},
            "pending_invoice_item_interval": None, "pending_setup_intent": None, "pending_update": None,
            "schedule": None, "start_date": since, "status": "active", "test_clock": None, "transfer_data": None,
            "trial_end": None, "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": None, **more}


def invoice(n, start, name, status="paid", reason="subscription_cycle"):
    paid, of = status == "paid", {"subscription": f"sub_{tag(n)}", "metadata": {"userId": user(n)}}
    line = {"id": f"il_{tag(n)}_{name}", "object": "line_item", "amount": 3200, "currency": "usd",
            "description": "1 × MyBeing Premium (at $32.00 / month)", "discount_amounts": [], "discountable": True,
            "discounts": [], "invoice": f"in_{tag(n)}_{name}", "livemode": False, "metadata": {"userId": user(n)},
            "parent": {"invoice_item_details": None,
                       "subscription_item_details": {"invoice_item": None, "proration": False,
                                                     "proration_details": {"credited_items": None},
                                                     "subscription": f"sub_{tag(n)}",
                                                     "subscription_item": f"si_{tag(n)}"},
                       "type": "subscription_item_details"},
            "period": {"end": start + 30 * DAY, "start": start}, "pretax_credit_amounts": [],
            "pricing": {"price_details": {"price": "price_1PgafmB7WZ01zgkW6dKueIc5", "product": "prod_QXg1hqf4jFNsqG"},
                        "type": "price_details", "unit_amount_decimal": "3200"},
            "quantity": 1, "taxes": []}
    return {"id": f"in_{tag(n)}_{name}", "object": "invoice", "account_country": "US", "account_name": "MyBeing",
            "account_tax_ids": None, "amount_due": 3200, "amount_overpaid": 0, "amount_paid": 3200 if paid else 0,
            "amount_remaining": 0 if paid else 3200, "amount_shipping": 0, "application": None,
            "attempt_count": int(paid), "attempted": paid, "auto_advance": not paid,
            "automatic_tax": nothing("disabled_reason liability provider status") | {"enabled": False},
            "automatically_finalizes_at": None, "billing_reason": reason,
            "collection_method": "charge_automatically", "created": start, "currency": "usd", "custom_fields": None,
            "customer": f"cus_{tag(n)}", "customer_address": None, "customer_email": f"{tag(n)}@example.com",
            "customer_name": f"Member {n}", "customer_phone": None, "customer_shipping": None,
            "customer_tax_exempt": "none", "customer_tax_ids": [], "default_payment_method": None,
            "default_source": None, "default_tax_rates": [], "description": None, "discounts": [], "due_date": None,
            "effective_at": start, "ending_balance": 0, "footer": None, "from_invoice": None,
            "hosted_invoice_url": f"https://invoice.stripe.com/i/acct_1PgafTB7WZ01zgkW/test_{tag(n)}{name}?s=ap",
            "invoice_pdf": f"https://pay.stripe.com/invoice/acct_1PgafTB7WZ01zgkW/test_{tag(n)}{name}/pdf?s=ap",
            "issuer": {"type": "self"}, "last_finalization_error": None, "latest_revision": None,
            "lines": {"object": "list", "data": [line], "has_more": False, "total_count": 1,
                      "url": f"/v1/invoices/in_{tag(n)}_{name}/lines"},
            "livemode": False, "metadata": {}, "next_payment_attempt": None, "number": f"{n:08X}-0001",
            "on_behalf_of": None,
            "parent": {"quote_details": None, "subscription_details": of, "type": "subscription_details"},
            "payment_settings": nothing("default_mandate payment_method_options payment_method_types"),
            "period_end": start, "period_start": start, "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0, "receipt_number": None, "rendering": None, "shipping_cost": None,
            "shipping_details": None, "starting_balance": 0, "statement_descriptor": None, "status": status,
            "status_transitions": {"finalized_at": start, "marked_uncollectible_at": None,
                                   "paid_at": start if paid else None, "voided_at": None},
            "subtotal": 3200, "subtotal_excluding_tax": 3200, "test_clock": None, "total": 3200,
            "total_discount_amounts": [], "total_excluding_tax": 3200, "total_pretax_credit_amounts": [],
            "total_taxes": [], "webhooks_delivered_at": start}


def payment(n, at, name, amount=3200):
    return {"id": f"pi_{tag(n)}_{name}", "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_details": {"tip": {}}, "amount_received": amount, "application": None,
            "application_fee_amount": None, "automatic_payment_methods": None, "canceled_at": None,
            "cancellation_reason": None, "capture_method": "automatic", "confirmation_method": "automatic",
            "created": at, "currency": "usd", "customer": f"cus_{tag(n)}", "description": "Subscription update",
            "last_payment_error": None, "latest_charge": f"ch_{tag(n)}_{name}", "livemode": False, "metadata": {},
            "next_action": None, "on_behalf_of": None, "payment_method": f"pm_{tag(n)}",
            "payment_method_configuration_details": None,
            "payment_method_options": {"card": nothing("installments mandate_options network request_three_d_secure")},
            "payment_method_types": ["card"], "processing": None, "receipt_email": None, "review": None,
            "setup_future_usage": None, "shipping": None, "source": None, "statement_descriptor": None,
            "statement_descriptor_suffix": None, "status": "succeeded", "transfer_data": None,
            "transfer_group": None}


def invoice_payment(n, at, name):
    return {"id": f"inpay_{tag(n)}_{name}", "object": "invoice_payment", "amount_paid": 3200, "amount_requested": 3200,
            "created": at, "currency": "usd", "invoice": f"in_{tag(n)}_{name}", "is_default": True, "livemode": False,
            "payment": {"payment_intent": f"pi_{tag(n)}_{name}", "type": "payment_intent"}, "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": at}}


def checkout(n, at, name, purchase, item, amount):
    return {"id": f"cs_test_{tag(n)}_{name}", "object": "checkout.session", "after_expiration": None,
            "allow_promotion_codes": None, "amount_subtotal": amount, "amount_total": amount,
            "automatic_tax": nothing("liability provider status") | {"enabled": False},
            "billing_address_collection": None, "cancel_url": "https://bench.mybeing.example/cancel",
            "client_reference_id": user(n), "client_secret": None, "collected_information": None, "consent": None,
            "consent_collection": None, "created": at, "currency": "usd", "currency_conversion": None,
            "custom_fields": [], "custom_text": nothing("after_submit shipping_address submit"),
            "customer": f"cus_{tag(n)}", "customer_creation": None,
            "customer_details": {"address": NO_ADDRESS, "email": f"{tag(n)}@example.com", "name": f"Member {n}",
                                 "phone": None, "tax_exempt": "none", "tax_ids": []},
            "customer_email": None, "discounts": [], "expires_at": at + DAY, "invoice": None,
            "invoice_creation": {"enabled": False,
                                 "invoice_data": nothing("account_tax_ids custom_fields description footer issuer")},
            "livemode": False, "locale": None,
            "metadata": {"userId": user(n), "purchaseId": purchase, "itemId": item}, "mode": "payment",
            "payment_intent": f"pi_{tag(n)}_{name}", "payment_link": None, "payment_method_collection": "if_required",
            "payment_method_configuration_details": None, "payment_method_options": {},
            "payment_method_types": ["card"], "payment_status": "paid", "permissions": None,
            "phone_number_collection": {"enabled": False}, "recovered_from": None,
            "saved_payment_method_options": None, "setup_intent": None, "shipping_address_collection": None,
            "shipping_cost": None, "shipping_options": [], "status": "complete", "submit_type": None,
            "subscription": None, "success_url": "https://bench.mybeing.example/ok",
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted",
            "url": None, "wallet_options": None}


def event(name, kind, obj, created, **data):
    return {"id": f"evt_{name}", "object": "event", "api_version": "2026-10-28.endive", "created": created,
            "data": {"object": obj, **data}, "livemode": False, "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None}, "type": kind}


# ---- requests


def request(method, path, body, headers):
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    raw = f"{method} {path} HTTP/1.1\r\nHost: bench.mybeing.example\r\n{lines}".encode()
    raw += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    return b"%d\n%b\n" % (len(raw), raw)


def asked(path, n):
    """A GET of member n."""
    raw = (f"GET {path} HTTP/1.1\r\nHost: bench.mybeing.example\r\n"
           f"Authorization: Bearer {token(n)}\r\n\r\n").encode()
    return b"%d\n%b\n" % (len(raw), raw)


def text_of(e):
    """As Stripe sends it."""
    return json.dumps(e, indent=2, ensure_ascii=False).encode()


def delivered(body):
    return request("POST", "/api/webhooks/stripe", body, {"Stripe-Signature": UNSIGNED})


class Events:
    """Files of unique events about payers: half a subscription's update, half an invoice that was paid."""

    def __init__(self, payers, start, made=0):
        self.payers, self.start, self.made = payers, start, made
        n, at, name = 10**9 - 1, 1999999999, "eNNNNNNNNN"
        marks = {"tag": tag(n), "user": user(n), "name": name, "at": str(at), "hex": f"{n:08X}"}
        self.texts = [text_of(event(name, "invoice.paid", invoice(n, start, name), at)),
                      text_of(event(name, "customer.subscription.updated", subscription(n, start, start), at,
                                    previous_attributes={"latest_invoice": None}))]
        for i, text in enumerate(self.texts):
            text = text.replace(b"%", b"%%")
            for key, mark in marks.items():
                text = text.replace(mark.encode(), b"%%(%b)b" % key.encode())
            self.texts[i] = text

    def one(self):
        self.made += 1
        n = self.payers[self.made // 2 % len(self.payers)]
        at = self.start + 60 + self.made // (2 * len(self.payers))
        return delivered(self.texts[self.made % 2] % {
            b"tag": b"bench%09d" % n, b"user": user(n).encode(), b"name": b"e%09d" % self.made, b"at": b"%d" % at,
            b"hex": b"%08X" % n})

    def write(self, path, count):
        with open(path, "wb") as f:
            for _ in range(count):
                f.write(self.one())
            on_disk(f)
        return path
