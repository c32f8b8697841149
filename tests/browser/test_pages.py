"""The main job and everything around it, lived in a browser."""
from person import PASSWORD, Person
from selenium.webdriver.common.keys import Keys


def test_the_main_job(person):
    person.go("/")
    person.reads("$32.00 a month").reads("2 quizzes free every month").looks_right()
    person.registers("ada@example.com")
    assert person.sees("#plan").text == "Free"
    person.reads("Confirm your address").reads("Nothing yet.").looks_right()
    person.press("Subscribe for $32.00 a month").at("/pay/")
    person.reads("SANDBOX").reads("$32.00").reads("Every month, until you cancel.").looks_right()
    person.expects(r"/pay/\S+ - .*402").pays("4000000000000002").reads("Your card was declined.").looks_right()
    person.pays()
    person.reads("Welcome to premium").at(r"/$")
    assert person.sees("#plan").text == "Premium" and "Renews on" in person.sees("#plan-more").text
    person.reads("2 of 2").reads("3 of 3").reads("Unlimited").looks_right()
    # what happened to one's events
    person.server.sandbox.settle()
    person.go("/")
    person.reads("An invoice was paid").reads("checkout.session.completed").reads("noted")
    # an allowance is used
    person.press("Open Stress profile").reads("“Stress profile” is open.").reads("1 of 2")
    person.press("Close").press("Buy Values inventory for $40.01").pays()
    person.reads("Thank you: “Values inventory” is yours.").looks_right()


def test_coming_back_without_paying(person):
    person.registers().press("Subscribe for $32.00 a month").at("/pay/")
    person.press("Back without paying").reads("You came back without paying. Nothing was charged.").at(r"/$")
    assert person.sees("#plan").text == "Free"
    person.press("Buy Stress profile for $19.00").at("/pay/")
    person.driver.back()  # from the page's own memory or not: the button can be pressed again
    person.press("Buy Stress profile for $19.00").at("/pay/")
    person.press("Back without paying").reads("not paid yet").press("Go on paying", "a").pays()
    person.reads("Thank you: “Stress profile” is yours.")


def test_cancel_resume_and_portal(person):
    person.registers().subscribes()
    person.press("Cancel", "#cancel").reads("Premium would stay open until").looks_right()
    assert person.focused().text == "Keep it"
    person.press("Keep it").press("Cancel", "#cancel").press("Yes, cancel it").reads("It is cancelled")
    assert person.sees("#badge").text == "Ends soon"
    person.looks_right().press("Keep my subscription").reads("Good that you stay")
    assert person.sees("#badge").text == "Active"
    person.press("Payment details").at("/portal/")
    person.reads("SANDBOX").reads("visa ···· 4242").looks_right()
    person.expects(r"/portal/\S+ - .*402")
    person.fill("Or type another test card", "1234").press("Use this card").reads("Your card number is invalid.").looks_right()
    person.press("Cancel at the end of the period").reads("Ends on").press("Back to MyBeing").sees("#badge", "Ends soon")


def test_a_payment_that_fails_later(person):
    person.registers().subscribes("4000000000000341")
    person.server.clock("+1 month")
    person.server.sandbox.settle()
    person.go("/")
    person.sees("#badge", "Payment failed")
    person.reads("Your last payment did not go through.").reads("0 of 2").looks_right()
    assert {bar.get_attribute("value") for bar in person.all("progress")} == {"0"}  # a new cycle not paid gives nothing new
    person.press("Pay the open invoice").at("/invoice/")
    person.reads("Not paid yet").looks_right().press("Pay with 4242")
    person.server.sandbox.settle()
    person.go("/")
    person.sees("#badge", "Active")


def test_mistakes_are_told_where_they_are(person):
    person.go("/")
    person.press("Create account", "button").reads("Please type your e-mail address.").reads("Please type a password.")
    person.fill("E-mail", "nonsense").fill("Password", "short").press("Create account", "button")
    person.reads("This does not look like an e-mail address.").reads("It needs at least 8 characters.").looks_right()
    assert person.focused().get_attribute("id") == "sign-email" and person.focused().get_attribute("aria-invalid") == "true"
    person.expects("/api/auth/register - .*(409|422)").expects("/api/auth/login - .*401")
    person.fill("E-mail", "ada@example.com").fill("Password", "ada@example.com").press("Create account", "button")
    person.sees("#sign-password-error", "It must not be the e-mail address.")
    person.fill("Password", PASSWORD).press("Create account", "button").sees("#member")
    person.signs_out()
    person.fill("E-mail", "ada@example.com").fill("Password", "wrong password 1").press("Sign in", "#sign-submit")
    person.reads("do not belong together").looks_right()
    person.press("Create an account").fill("Password", PASSWORD).press("Create account", "button")
    person.reads("There is an account with this e-mail address already.")
    person.fill("Password", PASSWORD).press("Sign in", "#sign-submit").sees("#member")


def test_a_visitor_buys_and_registers(person):
    person.go("/")
    person.press("Buy Stress profile for $19.00").at("/pay/")
    person.fill("E-mail", "vi@example.com").looks_right().pays()
    person.reads("Thank you: “Stress profile” is yours.").reads("Your purchases").looks_right()
    person.registers("vi@example.com").reads("What you did here before is in your account now.")
    person.sees("#purchases", "Stress profile")


def test_what_a_visitor_did_is_offered_to_who_signs_in(person):
    person.registers("ada@example.com").signs_out()
    person.press("Buy Living with anxiety for $12.00").pays().reads("is yours")
    person.signs_in("ada@example.com").reads("Something of yours is waiting").looks_right()
    person.press("Take it into my account").reads("It is in your account now.")
    person.sees("#purchases", "Living with anxiety")


def test_the_link_of_a_receipt(person):
    person.go("/")
    person.press("Buy Stress profile for $19.00").at("/pay/")
    person.fill("E-mail", "vi@example.com").pays().reads("is yours")
    link = person.letter("vi@example.com", r"/\?claim=")
    other = Person(person.driver, person.server)  # without the cookies
    other.go(link)
    other.reads("the purchase of your receipt can be added").looks_right()
    other.registers("vi@example.com")
    other.go(link)
    other.press("Take it into my account").reads("First confirm your address")
    other.go(other.letter("vi@example.com", "/auth/verify"))
    other.press("Yes, confirm it").reads("Confirmed")
    other.go(link)
    other.press("Take it into my account").reads("It is in your account now.").sees("#purchases", "Stress profile")
    other.leave()


def test_letters(person):
    person.registers("ada@example.com")
    person.go(person.letter("ada@example.com", "/auth/verify"))
    person.looks_right().press("Yes, confirm it").reads("Confirmed").looks_right().press("On to MyBeing").sees("#member")
    assert not person.all("#confirm")
    person.expects("/auth/verify - .*410").go(person.letter("ada@example.com", "/auth/verify"))
    person.press("Yes, confirm it").reads("This link does not work any more").looks_right()
    person.go("/")
    person.sees("#member")
    person.signs_out().fill("E-mail", "ada@example.com").press("Send me a sign-in link").reads("is on its way")
    person.go(person.letter("ada@example.com", "/auth/magic"))
    person.reads("One click, and you are signed in").looks_right().press("Sign in", "main button").sees("#member")
    person.signs_out().fill("E-mail", "ada@example.com").press("I forgot my password").reads("is on its way")
    person.go(person.letter("ada@example.com", "/auth/reset"))
    person.expects("/auth/reset - .*422").looks_right()
    person.fill("New password", "ada@example.com").press("Save it")
    person.reads("Choose another password").looks_right()
    person.fill("New password", "an entirely new one 7").press("Save it").sees("#member")
    person.signs_out().signs_in("ada@example.com", "an entirely new one 7").sees("#member")


def test_unsubscribe(person):
    person.registers("ada@example.com")
    person.go(person.reminder("ada@example.com"))
    person.reads("Stop these mails?").looks_right().press("Unsubscribe").reads("You are unsubscribed").looks_right()
    person.press("On to MyBeing").sees("#member")
    person.expects("/unsubscribe/x - .*404").go("/unsubscribe/x")
    person.reads("This link is not complete.").looks_right()


def test_what_is_not_there(person):
    person.expects("/nothing/here - .*404").expects("/billing/success.* - .*404").expects("/pay/x - .*404")
    person.go("/nothing/here")
    person.reads("There is nothing here").looks_right().press("On to MyBeing").sees("#welcome")
    person.go("/billing/success?session_id=cs_test_nothing")
    person.reads("There is no such checkout.").looks_right()
    person.go(person.server.sandbox.base + "/pay/x")
    person.reads("There is no such checkout").looks_right()
    person.go(person.server.sandbox.base + "/")
    person.reads("Stripe sandbox").looks_right()


def test_the_keyboard_is_enough(person):
    person.go("/")
    person.sees("#welcome")
    person.keys(Keys.TAB)
    assert person.focused().text == "Skip to the content"
    person.tab_to("sign-email").keys("ada@example.com", Keys.TAB, PASSWORD, Keys.ENTER).sees("#member")
    assert person.focused().get_attribute("id") == "member-title"  # read out: where one is now
    person.tab_to("Subscribe for").keys(Keys.ENTER).at("/pay/")
    person.tab_to("Pay $32.00").keys(Keys.ENTER).reads("Welcome to premium")
    person.tab_to("Cancel").keys(Keys.ENTER).reads("Yes, cancel it")
    outline = person.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"  # the focus can be seen
    person.keys(Keys.ENTER)
    assert not person.all("#sure") and person.focused().text == "Cancel"
    person.tab_to("Open Stress profile").keys(Keys.SPACE).reads("is open.")


def test_without_javascript(person):
    person.registers("ada@example.com").signs_out()
    person.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    person.go("/")
    person.reads("This page needs JavaScript")
    server = person.server
    assert server.client().post("/api/auth/magic-link", {"email": "ada@example.com"}).status in (200, 202, 204)
    person.go(person.letter("ada@example.com", "/auth/magic"))
    person.pick("main form button")
    person.at(r"/$")
    assert any(c["name"] == "mb_session" for c in person.driver.get_cookies())


def test_a_server_that_is_gone(person):
    person.registers("ada@example.com")
    person.server.stop()
    person.expects("ERR_CONNECTION_REFUSED").press("Subscribe for").reads("MyBeing cannot be reached.").looks_right()
    person.server.start()
    person.press("Close").press("Subscribe for").at("/pay/")


def test_the_page_when_it_cannot_be_filled(person):
    person.go("/")
    person.sees("#welcome")
    cdp = person.driver.execute_cdp_cmd
    cdp("Network.enable", {})
    cdp("Network.setBlockedURLs", {"urls": ["*/api/catalog*"]})
    person.expects("/api/catalog.*ERR_BLOCKED_BY_CLIENT").go("/")
    person.reads("We could not load this").looks_right()
    cdp("Network.setBlockedURLs", {"urls": []})
    person.press("Try again").sees("#welcome")
    assert not person.all("#failed")
