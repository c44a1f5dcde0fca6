"""The sample service answers as its documentation says."""

import hashlib
import re
import time

import httpx2
import jwt
import pytest
from fastapi.testclient import TestClient
from shop import dependencies
from shop.application import create_app
from shop.settings import Settings
from starlette.websockets import WebSocketDisconnect

KEY = "a key for nothing but this test 0123456789"


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setenv("APP_RELEASE", "abc-123")
    with TestClient(create_app(Settings())) as client:
        yield client


@pytest.fixture
def start():
    """`start(upload_limit=…)`: a client of a shop with these settings."""
    clients = []

    def start(**settings):
        clients.append(TestClient(create_app(Settings(**settings))))
        return clients[-1].__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def with_in_place_of():
    """`with_in_place_of(payments, bank)`: a client of a shop whose dependency of this name is something else."""
    clients = []

    def start(dependency, instead):
        app = create_app(Settings())
        app.dependency_overrides[getattr(dependencies, dependency)] = lambda: instead
        clients.append(TestClient(app))
        return clients[-1].__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("path", "status"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_health(client, path, status):
    assert client.get(path).json() == {"status": status}


def test_build_names_the_release(client):
    answer = client.get("/api/build")
    assert answer.json()["release"] == "abc-123"
    assert answer.headers["cache-control"] == "no-store"


def test_an_order(client):
    assert client.get("/api/orders/1").json() == {"id": 1, "item": "Espresso cup", "quantity": 2}


@pytest.mark.parametrize(("order", "status"), [("99", 404), ("0", 422), ("x", 422)])
def test_an_order_that_is_none(client, order, status):
    assert client.get(f"/api/orders/{order}").status_code == status


def test_the_page_and_its_files(client):
    assert "production.fastapi" in client.get("/").text
    assert client.get("/static/shop.css").headers["content-type"].startswith("text/css")


def test_websocket_echo(client):
    with client.websocket_connect("/ws/echo") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize("origin", ["https://testserver", "http://testserver"])
def test_a_page_of_this_site_may_open_a_websocket(client, origin):
    with client.websocket_connect("/ws/echo", headers={"Origin": origin}) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://testserver.evil.example", "https://testserver:1", "null", ""]
)
def test_a_page_of_another_site_may_not(client, origin):
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect("/ws/echo", headers={"Origin": origin}),
    ):
        pass
    assert refused.value.code == 1008


def test_every_error_is_one_sentence(client):
    errors = [
        client.get("/nowhere"),
        client.put("/api/build"),
        client.get("/api/orders/0"),
        client.get("/api/orders/99"),
        client.get("/api/me"),
        client.post("/api/checkout", json={"order": 1}),
        client.post("/api/checkout", json={"order": 1}, headers={"Idempotency-Key": "k"}),
        client.put("/api/simulator/payments", json={"mode": "ok"}),
        client.post("/api/simulator/database", json={}),
    ]
    assert [error.status_code for error in errors] == [404, 405, 422, 404, 401, 400, 503, 404, 404]
    assert all(list(error.json()) == ["detail"] and isinstance(error.json()["detail"], str) for error in errors)


def test_a_check_out_without_payments_says_what_to_set_and_when_to_come_back(client):
    answer = client.post("/api/checkout", json={"order": 1}, headers={"Idempotency-Key": "k"})
    assert "APP_DEPENDENCIES_URL" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 0


class Bank:
    """Payments that answer so."""

    def __init__(self, **answer):
        self.answer = answer

    async def request(self, *_asked, **_options):
        return httpx2.Response(200, json=self.answer)


def test_a_check_out_is_answered_by_a_receipt(with_in_place_of):
    client = with_in_place_of("payments", Bank(id="c1", amount=1800, currency="EUR"))
    paid = client.post("/api/checkout", json={"order": 1}, headers={"Idempotency-Key": "k"})
    assert (paid.status_code, paid.json()) == (200, {"order": 1, "amount": 1800, "charge": "c1"})


@pytest.mark.parametrize("answer", [{}, {"id": "c1"}, {"id": "c1", "amount": "much"}])
def test_payments_that_make_no_sense_are_no_receipt(with_in_place_of, answer):
    client = with_in_place_of("payments", Bank(**answer))
    refused = client.post("/api/checkout", json={"order": 1}, headers={"Idempotency-Key": "k"})
    assert (refused.status_code, "did not confirm" in refused.json()["detail"]) == (503, True)


def test_a_422_says_all_that_is_wrong(with_in_place_of):
    client = with_in_place_of("simulator", None)
    answer = client.put("/api/simulator/bank", json={"mode": "sulk", "share": 2, "times": 0})
    assert answer.status_code == 422
    for wrong in ("path service: ", "body mode: ", "body share: ", "body times: "):
        assert wrong in answer.json()["detail"]


def test_the_document_describes_tokens_and_the_headers_of_answers(client):
    document = client.get("/openapi.json").json()
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/api/me"]["get"]["security"] == [{name: []}]
    answers = document["paths"]["/api/checkout"]["post"]["responses"]
    assert {"RateLimit", "X-Request-ID", "Idempotency-Replayed"} <= answers["200"]["headers"].keys()
    assert "Retry-After" in answers["429"]["headers"]


def test_the_limit_counts_by_address_and_looking_costs_nothing(start):
    client = start(rate_limit_anonymous=4, rate_limit_local_share=1)
    for path in ("/healthz", "/readyz", "/metrics", "/static/shop.css", "/docs", "/openapi.json"):
        assert "RateLimit" not in client.get(path).headers
    assert [client.get("/api/build").status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    assert client.get("/").status_code == 200
    assert int(client.get("/api/build").headers["Retry-After"]) in range(1, 62)


def test_alone_a_worker_tells_its_share_of_the_limit(client):
    [limit] = client.get("/api/status").json()["limits"]
    assert 59 < limit.pop("reset") <= 60
    assert limit == {"name": "anonymous", "limit": 25, "window": 60, "remaining": 24}


def test_check_outs_have_a_limit_of_their_own(start):
    client = start(rate_limit_checkout=2, rate_limit_local_share=1)
    statuses = [client.post("/api/checkout", json={"order": 9}, headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [404, 404, 429]
    assert client.get("/api/build").status_code == 200


def test_a_verified_token_has_a_limit_of_its_own_and_a_forged_one_has_not(start):
    client = start(token_key=KEY, simulator_controls=True)
    token = client.post("/api/session").json()["token"]
    claims = {"sub": "demo", "aud": "shop", "exp": 4_000_000_000}
    forged = jwt.encode(claims, "another key, which the shop does not have", "HS256")
    unsigned = jwt.encode(claims, None, "none")
    expired = jwt.encode(claims | {"exp": 1_000_000_000}, KEY, "HS256")
    assert client.get("/api/me", headers=bearer(token)).json() == {"subject": "demo"}
    assert client.get("/api/build", headers=bearer(token)).headers["RateLimit-Policy"].startswith('"member"')
    for bad in (forged, unsigned, expired, "x"):
        refused = client.get("/api/me", headers=bearer(bad))
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert client.get("/api/build", headers=bearer(bad)).headers["RateLimit-Policy"].startswith('"anonymous"')


def test_a_token_that_was_good_ends_when_it_expires(start, monkeypatch):
    client = start(token_key=KEY, simulator_controls=True)
    token = client.post("/api/session").json()["token"]
    assert client.get("/api/me", headers=bearer(token)).status_code == 200
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3601)
    assert client.get("/api/me", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("settings", [{}, {"token_key": KEY}, {"simulator_controls": True}])
def test_nobody_signs_in_unless_it_is_a_demonstration(start, settings):
    assert start(**settings).post("/api/session").status_code == 404


def test_an_upload_is_counted_and_hashed(client):
    body = b"coffee " * 100_000
    answer = client.post("/api/upload", content=body)
    assert answer.json() == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("body", [b"x" * 11, iter([b"x" * 6, b"x" * 5])], ids=["declared", "in chunks"])
def test_an_upload_that_is_too_large_is_refused(start, body):
    assert start(upload_limit=10).post("/api/upload", content=body).status_code == 413


def test_slow_work_ends_at_the_deadline(start):
    assert start().get("/api/slow", params={"seconds": 0}).json() == {"seconds": 0}
    assert start(request_timeout=0.2).get("/api/slow", params={"seconds": 600}).status_code == 504


def test_the_page_runs_nothing_that_is_not_a_file_of_its_own(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"<script(?![^>]*src=)|<style|style=| on\w+=|https?://", page.text)


def test_a_static_file_has_another_address_when_it_changes(client):
    addresses = re.findall(r'"(/static/[^"]+\?v=[0-9a-f]{12})"', client.get("/").text)
    assert len(addresses) == 4
    assert all(client.get(address).status_code == 200 for address in addresses)


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Settings(token_key="short")


def test_what_nobody_expected_is_a_500_in_json_under_the_id_of_the_request():
    app = create_app(Settings())
    app.add_api_route("/broken", lambda: 1 / 0)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "abc-1")
    assert "log" in answer.json()["detail"]
    assert "division" not in answer.text
