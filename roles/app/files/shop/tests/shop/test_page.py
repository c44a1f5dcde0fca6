"""The page in a real browser, in front of two real workers: what a person sees, and what they can do with it."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

# Milliseconds until a thing that never comes is an error: each is waited for as it comes, on a busy machine, too.
expect.set_options(timeout=60_000)

# A dark or light page must work alike, so each is the page of one width.
SIZES = {"desktop": (1280, 900, "light"), "phone": (375, 720, "dark")}


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium")
    assert program, "chromium is missing: install Debian's package chromium"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def migrated(_postgres_process):
    if not _postgres_process.running:
        _postgres_process.start()
    _postgres_process.clear()
    migrate = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {**os.environ, "DATABASE_URL": _postgres_process.url}
    subprocess.run(migrate, check=True, cwd=Path(__file__).parents[2], env=environment)
    return _postgres_process


@pytest.fixture(scope="module")
def server(serve, simulator, _redis_process, migrated):
    """With the limits that the sample has by default: what the page invites to must fit within them."""
    return serve(
        APP_REDIS_URL=_redis_process.url,
        APP_DEPENDENCIES_URL=simulator.url,
        DATABASE_URL=migrated.url,
        APP_SIMULATOR_CONTROLS="true",
        APP_TOKEN_KEY="a key for nothing but this test 0123456789",
        APP_BREAKER_RECOVERY_TIME="10",  # long enough to see its count-down on a busy machine
        APP_RETRY_BASE_DELAY="0.01",
        APP_STEP_TIMEOUT="3",
    )


@pytest.fixture
def shop(server, simulator, redis_server):
    """The shop as it was when it started: an empty Redis, and services that answer."""
    with simulator.client() as client:
        for service in ("warehouse", "payments"):
            client.put(f"/behaviour/{service}", json={"mode": "ok"})
    with server.client() as client:
        for _ in range(2400):
            if client.get("/api/status").json()["dependencies"][0]["state"] == "up":
                break
            time.sleep(0.05)
    return server


class Watched:
    """A page, and all that a browser found wrong with it. Each is another client, with limits of its own."""

    _clients = itertools.count(1)

    def __init__(self, browser, url, size, *, path="/", **options):
        width, height, scheme = SIZES[size]
        self.page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            extra_http_headers={"X-Forwarded-For": f"192.0.2.{next(self._clients)}"},
            **options,
        )
        self.page.set_default_timeout(60_000)
        self.console = []
        self.failed = []
        self.refused = []
        self.foreign = []
        self.page.on("console", lambda message: self.console.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("requestfailed", lambda request: self.failed.append(f"{request.url} {request.failure}"))
        self.page.on("request", lambda request: request.url.startswith(url) or self.foreign.append(request.url))
        self.page.on("response", lambda answer: answer.status < 400 or self.refused.append(answer.url))
        self.page.goto(url + path)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def breaker(self, name="payments"):
        return self.page.locator(f"#breakers [data-name={name}]")

    def hold(self, pattern):
        """Requests like this wait, in the list that is returned, until they are told to continue."""
        held = []

        def wait(route):
            held.append(route)

        self.page.route(pattern, wait)
        return held


@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_sound_and_drives_the_breaker_round_trip(chromium, shop, size):
    watched = Watched(chromium, shop.url, size)
    page = watched.page
    expect(page.get_by_role("heading", level=1)).to_have_text("It runs.")
    expect(page.locator("#stream")).to_have_text("live")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]

    watched.button("Fetch orders 20 at once").click()
    expect(page.locator("#outcome")).to_contain_text("20 of 20 answered")
    expect(page.get_by_role("img", name=re.compile("Last 20 requests: 20 answered"))).to_be_visible()
    assert (watched.console, watched.failed, watched.refused, watched.foreign) == ([], [], [], [])

    watched.button("Payments fail").click()
    expect(page.locator("#outcome")).to_contain_text("From now on")
    expect(watched.button("Payments fail")).to_have_attribute("aria-pressed", "true")
    watched.button("Check out 5 at once").click()
    expect(page.locator("#outcome")).to_contain_text("0 of 5 answered")
    expect(watched.breaker()).to_contain_text(re.compile(r"In \d+ s one call may try\."))
    expect(page.locator("#announcement")).to_contain_text("The breaker of payments is")
    expect(watched.breaker("warehouse")).to_contain_text("closed")

    watched.button("Payments answer").click()
    expect(page.locator("#outcome")).to_contain_text("From now on")
    expect(watched.button("Payments answer")).to_have_attribute("aria-pressed", "true")
    expect(watched.breaker()).to_contain_text("half-open")
    watched.button("Check out once").click()
    expect(page.locator("#outcome")).to_contain_text("Answered in")
    expect(watched.breaker()).to_contain_text("closed")

    watched.button("Check out again with the same key").click()
    expect(page.locator("#outcome")).to_contain_text("nothing was paid again")
    page.get_by_text("The last ten as a table").click()
    expect(page.locator("request-plot")).to_contain_text("200, answered, as before")
    asked = page.locator("request-plot tbody").inner_text()
    assert "429, " not in asked, f"the round trip does not fit within the limits: {asked}"  # it may have taken 429 ms

    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert all(url.endswith("/api/checkout") for url in watched.refused)
    assert (watched.failed, watched.foreign) == ([], [])
    page.close()


def test_an_open_breaker_calls_nobody(chromium, shop, simulator):
    watched = Watched(chromium, shop.url, "desktop")
    with simulator.client() as payments:

        def calls():
            return payments.get("/behaviour").json()["payments"]["calls"]

        payments.put("/behaviour/payments", json={"mode": "fail"})
        watched.button("Check out 5 at once").click()
        expect(watched.page.locator("#outcome")).to_contain_text("0 of 5 answered")
        before = calls()
        watched.button("Check out 5 at once").click()
        expect(watched.page.locator("[data-ask=checkout][aria-busy]")).to_have_count(0)
        assert calls() - before < 2  # at most the probe, on a machine that took longer than the recovery time
    watched.page.close()


def test_the_warehouse_is_asked_again_when_it_hangs_up(chromium, shop):
    watched = Watched(chromium, shop.url, "desktop")
    watched.button("Warehouse hangs up twice").click()
    expect(watched.page.locator("#outcome")).to_contain_text("From now on")
    watched.button("Fetch orders once").click()
    expect(watched.page.locator("#outcome")).to_contain_text("at the third try.")
    expect(watched.button("Warehouse answers")).to_have_attribute("aria-pressed", "true")
    watched.page.close()


def test_work_that_takes_too_long_meets_its_deadline(chromium, shop):
    watched = Watched(chromium, shop.url, "phone")
    watched.button("Slow work: 3 s, deadline 1 s").click()
    expect(watched.page.locator("#outcome")).to_contain_text("The answer took longer than this request may take.")
    watched.page.close()


def test_a_locked_database_stops_check_outs_and_nothing_else(chromium, shop, migrated):
    watched = Watched(chromium, shop.url, "desktop")
    watched.button("Database: lock its tables for 8 s").click()
    expect(watched.page.locator("#outcome")).to_contain_text("Nobody gets at the tables")
    locked = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'orders'::regclass"
    for _ in range(1200):
        if migrated.sql(locked):
            break
        time.sleep(0.05)
    expect(watched.page.locator("#outcome")).to_contain_text("The tables are free again.")
    # The same for as long as the test wants it.
    with migrated.locked("orders", "ACCESS EXCLUSIVE"):
        watched.button("Check out once").click()
        expect(watched.page.locator("#outcome")).to_contain_text("Not done in")
        expect(watched.page.locator("#dependencies [data-name=database]")).to_contain_text(
            "Nothing can be paid for now."
        )
        watched.button("Fetch orders once").click()
        expect(watched.page.locator("#outcome")).to_contain_text("Answered in")  # the warehouse has the orders
    watched.page.close()


def test_a_member_has_a_wider_limit(chromium, shop):
    watched = Watched(chromium, shop.url, "phone")
    limits = watched.page.locator("#limits .limit")
    watched.button("Fetch orders once").click()
    expect(limits).to_contain_text([re.compile(r"anonymous\s+\d+ of 100 left\s+in any 60 s; more in [1-6]?[0-9] s")])
    expect(watched.page.locator("#outcome")).to_contain_text("Answered in")
    watched.button("a member").click()
    expect(watched.page.locator("#outcome")).to_contain_text("signed in")
    expect(limits).to_have_count(1)  # the one of before is nobody's any more
    watched.button("Fetch orders once").click()
    expect(limits).to_contain_text(["998 of 1000 left"])
    watched.page.close()


def test_an_answer_to_who_one_was_before_shows_no_limit(chromium, shop):
    watched = Watched(chromium, shop.url, "phone")
    held = watched.hold("**/api/orders/*")
    watched.button("Fetch orders once").click()
    watched.button("a member").click()
    expect(watched.page.locator("#outcome")).to_contain_text("signed in")
    held[0].continue_()
    expect(watched.page.locator("#outcome")).to_contain_text("Answered in")
    expect(watched.page.locator("#limits .limit")).to_have_count(1)
    watched.page.close()


def test_the_identity_that_was_clicked_last_counts(chromium, shop):
    watched = Watched(chromium, shop.url, "phone")
    held = watched.hold("**/api/session")
    watched.button("a member").click()
    watched.button("anonymous").click()
    expect(watched.page.locator("#outcome")).to_contain_text("signed out")
    with watched.page.expect_response("**/api/session"):
        held[0].continue_()
    watched.button("Fetch orders once").click()
    expect(watched.page.locator("#outcome")).to_contain_text("Answered in")
    expect(watched.button("anonymous")).to_have_attribute("aria-pressed", "true")
    expect(watched.page.locator("#limits .limit")).to_contain_text([re.compile(r"anonymous")])
    watched.page.close()


def test_names_and_states_are_there_for_a_screen_reader_and_the_keyboard(chromium, shop):
    page = Watched(chromium, shop.url, "desktop").page
    for region in ("Try it", "Circuit breakers", "Rate limit", "Dependencies", "Your last requests"):
        expect(page.get_by_role("region", name=region)).to_be_visible()
    expect(page.get_by_role("progressbar", name="anonymous")).to_be_visible()
    assert page.get_by_role("button").count() >= 17
    assert all(button.get_attribute("aria-label") or button.inner_text() for button in page.get_by_role("button").all())
    page.get_by_role("button", name="Fetch orders once").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Answered in")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.close()


def test_it_shows_the_state_without_javascript(chromium, shop):
    page = Watched(chromium, shop.url, "phone", java_script_enabled=False).page
    expect(page.locator("#breakers")).to_contain_text("closed")
    expect(page.locator("#dependencies")).to_contain_text("up")
    expect(page.get_by_role("link", name="API documentation").first).to_be_visible()
    assert not page.get_by_role("button").count()
    page.close()


def test_it_says_which_variables_to_set_when_nothing_is_set_up(chromium, serve):
    watched = Watched(chromium, serve().url, "phone")
    page = watched.page
    expect(page.locator("#stream")).to_have_text("live")
    for variable in ("APP_REDIS_URL", "APP_DEPENDENCIES_URL", "APP_SIMULATOR_CONTROLS", "APP_TOKEN_KEY"):
        expect(page.get_by_role("region", name="Not set up")).to_contain_text(variable)
    assert (watched.console, watched.failed, watched.foreign) == ([], [], [])
    page.get_by_role("link", name="API documentation").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("API")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert (watched.console, watched.foreign) == ([], [])
    page.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_documentation_shows_schemas_and_sends_requests_without_the_internet(chromium, shop, size):
    watched = Watched(chromium, shop.url, size, path="/docs")
    page = watched.page
    orders = page.get_by_role("form", name="Send GET /api/orders/{order_id}")
    orders.get_by_label("order_id").fill("2")
    orders.get_by_role("button", name="Send").click()
    expect(orders.locator("output")).to_contain_text("Pour-over kettle")
    expect(orders.locator("output")).to_contain_text("x-request-id: ")
    payment = page.get_by_role("form", name="Send POST /api/checkout")
    payment.get_by_role("button", name="Send").click()
    expect(payment.locator("output")).to_contain_text("200 in")
    payment.get_by_role("button", name="Send").click()
    expect(payment.locator("output")).to_contain_text("idempotency-replayed: true")
    page.get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("charge")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert (watched.console, watched.failed, watched.refused, watched.foreign) == ([], [], [], [])
    page.close()
