"""The sample service answers as its documentation says."""

import pytest
from fastapi.testclient import TestClient
from shop.application import create_app
from shop.settings import Settings


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setenv("APP_RELEASE", "abc-123")
    with TestClient(create_app(Settings())) as client:
        yield client


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
