"""The whole stack by one call: what a browser of another origin can read."""

import asyncio

from fastapi import FastAPI
from starlette.testclient import TestClient
from upkeeper.rate_limit import Policy, RateLimiter
from upkeeper.shared import SharedRedis
from upkeeper.stack import add_stack

ORIGIN = {"Origin": "https://shop.example"}


def client(**options):
    app = FastAPI()

    @app.get("/")
    async def home():
        return "hello"

    @app.get("/slow")
    async def slow():
        await asyncio.sleep(3600)

    policy = Policy("all", 2, 60)
    limiter = RateLimiter(SharedRedis(""), local_share=1)
    add_stack(app, limiter=limiter, choose=lambda _: (policy, "all"), deadline=0.05, **options)
    return TestClient(app)


def test_another_origin_can_read_a_429_and_a_504_and_when_to_come_back():
    browser = client(cors_origins=["https://shop.example"])
    answers = [browser.get(path, headers=ORIGIN) for path in ("/", "/slow", "/")]
    assert [answer.status_code for answer in answers] == [200, 504, 429]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert {"Retry-After", "RateLimit", "X-Request-ID"} <= set(
            answer.headers["access-control-expose-headers"].split(", ")
        )
        assert answer.headers["x-request-id"]
    assert int(answers[2].headers["retry-after"]) > 0


def test_another_origin_may_send_a_key_and_is_not_counted_for_asking():
    browser = client(cors_origins=["https://shop.example"])
    asking = ORIGIN | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}
    for _ in range(5):
        assert browser.options("/", headers=asking).status_code == 200


def test_without_origins_there_is_no_cors():
    assert "access-control-allow-origin" not in client().get("/", headers=ORIGIN).headers


def test_a_path_can_have_its_own_deadline():
    assert client(deadlines={"/slow": 0.01}).get("/slow").status_code == 504
