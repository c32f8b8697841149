"""What somebody does and sees in a browser, in the words of the page."""
import re

from selenium.common.exceptions import (ElementClickInterceptedException, ElementNotInteractableException,
                                        NoSuchElementException, StaleElementReferenceException)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from books import sql
from fakes import put_mail
from harness import wait_until

# The page changes while one looks: looked at again.
CHANGING = (StaleElementReferenceException, NoSuchElementException, ElementNotInteractableException,
            ElementClickInterceptedException)
WIDTHS = (320, 375, 1280)
PASSWORD = "correct horse battery 9"

# Every visible control has a name, every field a label of its own; one visible h1 or h2 leads the page.
UNNAMED = """
const seen = (e) => e.checkVisibility();
const named = (e) => (e.getAttribute('aria-label') || e.textContent || '').trim();
const bad = [];
for (const e of document.querySelectorAll('button, a')) if (seen(e) && !named(e)) bad.push(e.outerHTML.slice(0, 120));
for (const e of document.querySelectorAll('input:not([type=hidden]), select'))
  if (seen(e) && !(e.labels && e.labels.length)) bad.push(e.outerHTML.slice(0, 120));
if (!document.documentElement.lang || !document.title) bad.push('no language or title');
if (![...document.querySelectorAll('h1, h2')].some(seen)) bad.push('no heading');
const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push('id twice: ' + id);
return bad;
"""
# Text against what lies behind it: WCAG's ratio of at least 4.5.
FAINT = """
const rgb = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((a, v, i) => a + v * [.2126, .7152, .0722][i], 0);
const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > .9) return c; } return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!own || !e.checkVisibility() || e.disabled || ['NOSCRIPT', 'STYLE', 'SCRIPT'].includes(e.tagName)) continue;
  const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) bad.push(`${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 60)}`);
}
return bad;
"""


class Person:
    def __init__(self, driver, server):
        self.driver, self.server = driver, server
        self.expected = []  # patterns of console lines that are right: a refused request is told there
        driver.get("about:blank")
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        driver.get_log("browser")

    # ---- looking
    def go(self, path=""):
        self.driver.get(path if "://" in path else self.server.base + path)

    def all(self, css):
        return [e for e in self.driver.find_elements(By.CSS_SELECTOR, css) if e.is_displayed()]

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def reads(self, words):
        """Waits until the words are on the page."""
        def there():
            try:
                return words in self.text()
            except CHANGING:
                return False
        wait_until(there, message=f"nobody could read {words!r}")
        return self

    def sees(self, css, words=None):
        """Waits for a visible element (with these words in its text or label) and returns it."""
        def find():
            try:
                for e in self.all(css):
                    if words is None or words in (e.get_attribute("aria-label") or "") + e.text:
                        return e
            except CHANGING:
                pass
        return wait_until(find, message=f"nobody could see {css} {words or ''}")

    def at(self, pattern):
        """Waits until a page of this address is there as a whole."""
        where = "return document.readyState === 'complete' ? location.href : ''"
        wait_until(lambda: re.search(pattern, self.driver.execute_script(where) or ""), message=f"not at {pattern}")
        return self

    # ---- doing
    def press(self, words, css="button, a"):
        """Clicks what has these words, once it can be pressed."""
        def able():
            try:
                e = next((e for e in self.all(css) if words in (e.get_attribute("aria-label") or e.text)), None)
                if e is None or not e.is_enabled():
                    return False
                # Scrolled to the middle: what stays at the top must not lie above it.
                self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", e)
                e.click()
                return True
            except CHANGING:
                return False
        wait_until(able, message=f"there is nothing to press: {words!r}")
        return self

    def fill(self, label, value):
        def typed():
            try:
                field = self.driver.find_element(By.ID, self.sees("label", label).get_attribute("for"))
                field.clear()
                field.send_keys(value)
                return field.get_attribute("value") == value
            except CHANGING:
                return False
        wait_until(typed, message=f"nobody could fill in {label!r}")
        return self

    def pick(self, css):
        def picked():
            try:
                self.driver.find_element(By.CSS_SELECTOR, css).click()
                return True
            except CHANGING:
                return False
        wait_until(picked, message=f"nobody could pick {css}")
        return self

    def keys(self, *keys):
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)
        return self

    def focused(self):
        return self.driver.switch_to.active_element

    def tab_to(self, words):
        """Tab until what has the focus has these words."""
        seen = []
        for _ in range(60):
            self.keys(Keys.TAB)
            e = self.focused()
            name = e.get_attribute("aria-label") or e.text or e.get_attribute("id")
            if words in name:
                return self
            seen.append(name)
        raise AssertionError(f"the keyboard does not reach {words!r}, only {seen}")

    # ---- the whole of a page
    def looks_right(self):
        """Nothing sticks out at any width, everything has a name, every text can be read, light and dark."""
        if self.server.engine != "sqlite":
            return self  # the same pages, looked at once: half of this suite's time
        cdp = self.driver.execute_cdp_cmd
        for width in WIDTHS:
            cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False})
            out = self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert out <= 0, f"{self.driver.current_url}: {out} px stick out at {width}"
        for scheme in ("dark", "light"):
            cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
            assert self.driver.execute_script(FAINT) == [], f"{scheme} {self.driver.current_url}"
        assert self.driver.execute_script(UNNAMED) == [], self.driver.current_url
        return self

    def expects(self, pattern):
        self.expected.append(pattern)
        return self

    def leave(self):
        """The console said nothing but what was expected: no error of a script, no breach of the policy."""
        for line in self.driver.get_log("browser"):
            known = any(re.search(p, line["message"]) for p in self.expected)
            assert known or line["level"] in ("DEBUG", "INFO"), line

    # ---- whole errands
    def registers(self, email="ada@example.com", password=PASSWORD):
        self.go("/")
        self.fill("E-mail", email).fill("Password", password).press("Create account", "button")
        self.sees("#member")
        return self

    def signs_in(self, email="ada@example.com", password=PASSWORD):
        self.go("/")
        self.press("Sign in", "#to-sign-in").fill("E-mail", email).fill("Password", password)
        self.press("Sign in", "#sign-submit")
        return self

    def signs_out(self):
        self.press("Sign out").reads("You are signed out.")
        return self

    def pays(self, card="4242424242424242"):
        self.at("/pay/")
        self.pick(f"input[type=radio][value='{card}']").press("Pay $")
        return self

    def subscribes(self, card="4242424242424242"):
        self.press("Subscribe for $32.00 a month").pays(card)
        self.reads("Welcome to premium")
        return self

    def reminder(self, to):
        """Sends a mail that one may refuse, and returns its link to do so."""
        put_mail(sql, self.server, "checkin_reminder", to=to, vars={"url": self.server.base}, optional=1)
        mail = wait_until(lambda: [m for m in self.server.mails(to) if m["unsubscribeUrl"]], message="no reminder came")
        return mail[-1]["unsubscribeUrl"]

    def letter(self, to, pattern):
        """The link of the newest letter whose text has this pattern."""
        def find():
            texts = [m["text"] for m in self.server.mails(to) if re.search(pattern, m["text"])]
            return texts and re.search(r"http\S*" + pattern + r"\S*", texts[-1])
        return wait_until(find, message=f"no letter like {pattern} to {to}").group(0)
