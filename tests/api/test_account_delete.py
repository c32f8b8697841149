"""Deleting an account that has lived: personal data go, the books stay, nothing is paid any more."""
import json

from books import sql
from harness import Client

PASSWORD = "correct horse battery 9"


def count(server, table, column, id_):
    return int(sql(server, f"SELECT COUNT(*) FROM {table} WHERE {column} = '{id_}'")[0][0])


def test_the_person_goes_and_the_books_stay(town):
    c = town.client()
    a = c.post("/api/auth/register", {"email": "lived@example.com", "password": PASSWORD, "name": "Lively Person"})
    id_ = a.json["user"]["id"]
    other = town.member("other@example.com")
    c.subscribe(town.sandbox)
    town.settle()
    assert c.entitlements()["premium"]
    assert c.post("/api/user/entitlements/use", {"item": "quiz:stress-profile"}).status == 200
    c.buy(town.sandbox, "quiz:big-five")
    assert c.post("/api/chat/save", {"messages": [{"role": "user", "content": "my secret thoughts"}]}).status in (200, 201)
    town.settle()
    assert "quiz:big-five" in json.dumps(c.entitlements()["items"])
    invoices, purchases = town.dev("userstate", id_)["paid_cents"], count(town, "purchase", "member", id_)
    assert invoices > 0 and purchases == 1

    assert c.delete("/api/auth/me", body={"password": PASSWORD}).status == 204
    town.settle()
    assert c.get("/api/auth/me").status == 401
    for table, column in (("account", "id"), ("session", "account_id"), ("login_token", "account_id"),
                          ("allowance_use", "member"), ("ai_conversation", "user_id")):
        assert count(town, table, column, id_) == 0, table
    assert count(town, "purchase", "member", id_) == 1
    everything = "".join(str(sql(town, f"SELECT * FROM {t}")) for t in ("account", "ai_conversation", "ai_message", "session", "email_log"))
    assert "lived@example.com" not in everything and "my secret thoughts" not in everything
    # Stripe's later news about them are taken as ever, and nothing renews.
    town.clock("+1 month")
    town.settle()
    town.clock("+1 month")
    town.settle()
    assert other.get("/api/auth/me").status == 200
    state = json.loads(town.state())
    assert list(state["members"]) == ["other@example.com"]
    assert count(town, "email_log", "recipient", "lived@example.com") == 0  # nobody writes to them any more
    # The address is free again, for somebody who has none of it.
    again = town.client().post("/api/auth/register", {"email": "lived@example.com", "password": PASSWORD})
    assert again.status == 201 and again.json["user"]["id"] != id_
    fresh = Client(town, token=again.json["token"]).entitlements()
    assert not fresh["premium"] and fresh["items"] == []
