"""The whole service: two workers under Gunicorn, with Redis and the simulator, and with nothing at all."""

import re
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(serve, simulator, _redis_process):
    return serve(
        APP_REDIS_URL=_redis_process.url,
        APP_DEPENDENCIES_URL=simulator.url,
        APP_SIMULATOR_CONTROLS="true",
        APP_BREAKER_RECOVERY_TIME="1",
        APP_RETRY_BASE_DELAY="0.01",
        APP_ATTEMPT_TIMEOUT="1",
        APP_RATE_LIMIT_CHECKOUT="100",
    )


@pytest.fixture
def shop(server, simulator, redis_server):
    """A client of the shop with an empty Redis, and services that answer."""
    with simulator.client() as client:
        for service in ("warehouse", "payments"):
            client.put(f"/behaviour/{service}", json={"mode": "ok"})
    with server.client() as client:
        until(lambda: {state(client, name) for name in ("warehouse", "payments")} == {"closed"})
        yield client


@pytest.fixture
def behave(simulator):
    with simulator.client() as client:
        yield lambda service, **behaviour: client.put(f"/behaviour/{service}", json=behaviour)


@pytest.fixture
def charges(simulator):
    with simulator.client() as client:
        yield lambda: len(client.get("/payments/charges").json())


def state(shop, name):
    breakers = shop.get("/api/status").json()["breakers"]
    return next(breaker["state"] for breaker in breakers if breaker["name"] == name)


def until(condition):
    """Wait for what comes within a moment; it is an error when it does not within two minutes."""
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def check_out(shop, key="", order=1):
    return shop.post("/api/checkout", json={"order": order}, headers={"Idempotency-Key": key or uuid.uuid4().hex})


def test_orders_come_from_the_warehouse(shop, simulator):
    with simulator.client() as warehouse:
        before = warehouse.get("/behaviour").json()["warehouse"]["calls"]
        assert shop.get("/api/orders/3").json() == {"id": 3, "item": "Paper filters", "quantity": 100}
        assert shop.get("/api/orders/99").status_code == 404
        assert warehouse.get("/behaviour").json()["warehouse"]["calls"] == before + 2


@pytest.mark.parametrize(("mode", "status"), [("busy", 503), ("stall", 504), ("drop", 502), ("fail", 502)])
def test_a_warehouse_that_fails_is_told_apart(shop, behave, mode, status):
    behave("warehouse", mode=mode, seconds=60)
    assert shop.get("/api/orders/1").status_code == status


def test_a_warehouse_that_fails_sometimes_is_asked_again(shop, behave):
    behave("warehouse", mode="drop", share=0.2)
    assert [shop.get("/api/orders/1").status_code for _ in range(5)].count(200) >= 3


def test_a_check_out_is_paid_once_however_often_it_is_sent(shop, charges):
    before = charges()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: check_out(shop, "the-same"), range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert charges() == before + 1
    assert check_out(shop, "the-same", order=2).status_code == 422


@pytest.mark.parametrize("mode", ["fail", "stall", "drop", "busy"])
def test_payments_that_fail_open_the_breaker_and_one_call_closes_it(shop, behave, mode):
    behave("payments", mode=mode, seconds=60)
    for _ in range(10):
        answer = check_out(shop)
        assert (answer.status_code, list(answer.json())) == (503, ["detail"])
        assert int(answer.headers["Retry-After"]) >= 1
    until(lambda: state(shop, "payments") != "closed")
    assert state(shop, "warehouse") == "closed"
    assert shop.get("/api/orders/1").status_code == 200
    behave("payments", mode="ok")
    until(lambda: check_out(shop).status_code == 200)
    until(lambda: state(shop, "payments") == "closed")


def test_a_client_that_may_have_been_charged_is_never_told_that_it_was_not(shop, behave, charges):
    """The first try charges and hangs up, and the breaker that it opens refuses the retry."""
    behave("payments", mode="drop")
    said = set()
    for _ in range(8):
        before = charges()
        detail = check_out(shop).json()["detail"]
        said.add(("charged nothing" in detail, charges() > before))
    assert said == {(False, True), (True, False)}


def test_a_redis_that_refuses_writes_is_seen_everywhere(shop, redis_server):
    def redis_state():
        return next(each["state"] for each in shop.get("/api/status").json()["dependencies"] if each["name"] == "redis")

    with redis_server.client() as admin:
        admin.config_set("maxmemory", "100kb")
        try:
            assert redis_state() == "refusing", "the first answer says it already"
            for _ in range(20):  # both workers
                assert shop.get("/api/orders/1", headers={"Connection": "close"}).status_code in (200, 429)
            assert redis_state() == "refusing"
            assert "redis_refusing 1.0" in shop.get("/metrics").text
            assert shop.get("/readyz").status_code == 200, "it works on alone"
        finally:
            admin.config_set("maxmemory", "0")
    until(lambda: redis_state() == "up" and "redis_refusing 0.0" in shop.get("/metrics").text)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_probes_and_the_page_answer_to_head(shop, path):
    answer = shop.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_events_hold_the_state_and_go_on_from_the_last_one(shop):
    with shop.stream("GET", "/api/events", headers={"Last-Event-ID": "41"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        lines = answer.iter_lines()
        event = dict(next(lines).split(": ", 1) for _ in range(4))
    assert (event["event"], event["id"]) == ("state", "42")
    assert '"breakers":[{"name":"warehouse"' in event["data"].replace(" ", "")


def test_metrics_add_up_over_the_workers(shop):
    workers = {shop.get("/api/build", headers={"Connection": "close"}).json()["worker"] for _ in range(30)}
    counted = re.compile(
        r'http_request_duration_seconds_count\{method="GET",route="/api/build",status="200"\} ([\d.]+)'
    )
    # The last request is counted when its answer has been sent, which may be after it was read.
    until(lambda: float(counted.search(shop.get("/metrics").text)[1]) == 30)
    assert len(workers) == 2


def test_it_ends_at_once_although_somebody_follows_its_events(serve):
    server = serve()
    began = threading.Event()
    last = []

    def follow():
        with server.client() as client, client.stream("GET", "/api/events") as answer:
            for line in answer.iter_lines():
                began.set()
                last.append(line)

    follower = threading.Thread(target=follow)
    follower.start()
    assert began.wait(60)
    assert server.stop() < 10  # a stream would go on for a minute
    follower.join(60)  # and it ended without an error, for the client connects again
    assert last[-1] == ""


def test_it_starts_with_what_the_role_sets_and_nothing_else(serve):
    server = serve(APP_RELEASE="abc-123", APP_REQUEST_TIMEOUT="1")
    with server.client() as client:
        assert client.get("/api/build").json()["release"] == "abc-123"
        assert client.get("/api/orders/1").json()["item"] == "Espresso cup"
        assert "build_info{host=" in client.get("/metrics").text
        status = client.get("/api/status").json()
    assert [each["state"] for each in status["dependencies"]] == ["not set up"] * 3


def test_a_setting_that_is_wrong_is_said_in_one_sentence():
    environment = {"PYTHONPATH": str(PROJECT), "APP_REDIS_TIMEOUT": "1.5", "APP_ATTEMPT_TIMEOUT": "1"}
    command = [sys.executable, "-c", "import shop.main"]
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 3
    assert re.fullmatch(r"APP_REDIS_TIMEOUT \(1.5 s\) .* APP_ATTEMPT_TIMEOUT .*\n", ended.stderr)
