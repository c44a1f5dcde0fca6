"""Idempotency keys: done once, answered as often as asked; in Redis, and in the process when there is none."""

import asyncio
import contextlib
import itertools
import secrets
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, StreamingResponse
from starlette.testclient import TestClient
from upkeeper.errors import Refusal, answer_refusal
from upkeeper.idempotency import (
    Answer,
    IdempotencyConflict,
    IdempotencyKeyInvalid,
    IdempotencyMismatch,
    IdempotencyStore,
    fingerprint,
    parse_key,
    scoped_key,
)
from upkeeper.key_records import KeyRecords, Outcome, _milliseconds
from upkeeper.shared import SharedRedis

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]


class Work:
    """Work that counts its runs and ends as it is told: with a status, or by raising."""

    def __init__(self, ends=200, seconds=0.0):
        self.ends = ends
        self.seconds = seconds
        self.runs = 0

    async def __call__(self):
        self.runs += 1
        await asyncio.sleep(self.seconds)
        if isinstance(self.ends, BaseException):
            raise self.ends
        return Answer(self.ends, (("content-type", "text/plain"),), b"run %d" % self.runs)


@pytest.fixture(params=["redis", "process"])
async def redis(request):
    """A Redis that is there, and one that never is: the rules are the same."""
    shared = SharedRedis(request.getfixturevalue("redis_server").url if request.param == "redis" else "", timeout=5)
    await shared.start()
    yield shared
    await shared.close()


@pytest.fixture
def make_store(redis):
    return lambda **options: IdempotencyStore(redis, **options)


@pytest.fixture
def store(make_store):
    return make_store()


async def test_the_second_request_gets_the_answer_of_the_first(store):
    work = Work()
    first = await store.run("key", "same", work)
    second = await store.run("key", "same", work)
    assert (first.body, first.replayed, second.replayed) == (b"run 1", False, True)
    assert (second.status, second.headers, second.body) == (first.status, first.headers, first.body)
    assert work.runs == 1


async def test_any_byte_and_any_header_comes_back(store):
    answer = Answer(422, (("content-type", "image/png"), ("location", "/ä")), bytes(range(256)))

    async def work():
        return answer

    await store.run("key", "same", work)
    kept = await store.run("key", "same", work)
    assert (kept.status, kept.headers, kept.body) == (answer.status, answer.headers, answer.body)


async def test_other_keys_run(store):
    work = Work()
    await store.run("one", "same", work)
    await store.run("two", "same", work)
    assert work.runs == 2


async def test_a_key_that_came_with_another_request(store):
    work = Work(seconds=0.1)
    first = asyncio.create_task(store.run("key", "this", work))
    await asyncio.sleep(0.03)
    for _ in ("while it runs", "after it"):
        with pytest.raises(IdempotencyMismatch):
            await store.run("key", "that", work)
        await first
    assert work.runs == 1


async def test_a_concurrent_request_waits_for_the_answer(store):
    work = Work(seconds=0.1)
    first, second = await asyncio.gather(*(store.run("key", "same", work) for _ in range(2)))
    assert work.runs == 1
    assert first.body == second.body


async def test_a_concurrent_request_waits_no_longer_than_it_may(make_store):
    store = make_store(wait=0.05)
    work = Work(seconds=3600)
    first = asyncio.create_task(store.run("key", "same", work))
    await asyncio.sleep(0.02)
    with pytest.raises(IdempotencyConflict) as refused:
        await store.run("key", "same", work)
    assert (refused.value.status, refused.value.retry_after) == (409, 1)
    assert work.runs == 1
    first.cancel()


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429])
async def test_an_answer_that_says_not_now_is_not_kept(store, status):
    assert (await store.run("key", "same", Work(status))).status == status
    again = await store.run("key", "same", Work(200))
    assert (again.status, again.replayed) == (200, False)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 404, 409])
async def test_any_other_answer_is_kept(store, status):
    await store.run("key", "same", Work(status))
    assert (await store.run("key", "same", Work(200))).status == status


async def test_an_exception_frees_the_key(store):
    with pytest.raises(ZeroDivisionError):
        await store.run("key", "same", Work(ZeroDivisionError()))
    assert not (await store.run("key", "same", Work())).replayed


async def test_a_cancelled_run_frees_the_key(store):
    run = asyncio.create_task(store.run("key", "same", Work(seconds=3600)))
    await asyncio.sleep(0.03)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not (await store.run("key", "same", Work())).replayed


async def test_who_waits_takes_over_from_a_run_that_fails(store):
    failing = asyncio.create_task(store.run("key", "same", Work(ZeroDivisionError(), seconds=0.05)))
    await asyncio.sleep(0.02)
    assert (await store.run("key", "same", Work())).body == b"run 1"
    with pytest.raises(ZeroDivisionError):
        await failing


async def test_an_answer_is_kept_for_its_time(make_store):
    store = make_store(keep=2)
    await store.run("key", "same", Work())
    assert (await store.run("key", "same", Work())).replayed
    await asyncio.sleep(2.1)
    assert not (await store.run("key", "another", Work())).replayed


async def test_the_claim_of_a_worker_that_died_expires(store):
    await store._records.claim("key", "same", "token of the dead", seconds=0.1)
    assert (await store.run("key", "same", Work())).body == b"run 1"


async def test_a_run_ends_before_its_claim_does(make_store):
    store = make_store(in_progress=0.1)
    running = 0

    async def work():
        nonlocal running
        running += 1
        assert running == 1
        try:
            await asyncio.sleep(3600)
        finally:
            running -= 1

    async with asyncio.timeout(10):
        results = await asyncio.gather(*(store.run("key", "same", work) for _ in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError] * 4


async def test_a_run_that_lost_its_claim_does_not_touch_that_of_another(redis):
    records = KeyRecords(redis, prefix="", local_keys=10)
    await records.claim("key", "same", "late", seconds=0.01)
    await asyncio.sleep(0.05)
    assert (await records.claim("key", "same", "next", seconds=60)).outcome is Outcome.CLAIMED
    await records.keep("key", "same", "late", "late answer", 60)
    await records.free("key", "late")
    assert (await records.claim("key", "same", "third", seconds=60)).outcome is Outcome.RUNNING
    await records.keep("key", "same", "next", "right answer", 60)
    assert await records.claim("key", "same", "third", seconds=60) == (Outcome.ANSWERED, "right answer")


async def test_an_answer_that_is_too_long_is_not_done_again(make_store):
    store = make_store(max_body=4)
    work = Work()
    assert (await store.run("key", "same", work)).body == b"run 1"
    with pytest.raises(IdempotencyConflict) as refused:
        await store.run("key", "same", work)
    assert refused.value.retry_after is None
    assert work.runs == 1


async def test_who_waits_asks_less_and_less_often(make_store, monkeypatch):
    store, asked = make_store(wait=0.5), 0
    claim = store._records.claim

    async def count(*arguments):
        nonlocal asked
        asked += 1
        return await claim(*arguments)

    first = asyncio.create_task(store.run("key", "same", Work(seconds=3600)))
    await asyncio.sleep(0.02)
    monkeypatch.setattr(store._records, "claim", count)
    with pytest.raises(IdempotencyConflict):
        await store.run("key", "same", Work())
    assert asked <= 10  # pauses of 10 ms, then each half as long again, up to 250 ms
    first.cancel()


@pytest.mark.parametrize("other", ["0", "z"])
async def test_any_other_request_is_another_to_this_process(other):
    records = KeyRecords(SharedRedis(""), prefix="", local_keys=2)
    assert (await records.claim("key", "this", "t", seconds=60)).outcome is Outcome.CLAIMED
    assert (await records.claim("key", other, "u", seconds=60)).outcome is Outcome.OTHER


async def test_a_claim_whose_time_is_over_is_unknown_to_this_process():
    records = KeyRecords(SharedRedis(""), prefix="", local_keys=2)
    await records.claim("key", "this", "t", seconds=0)
    assert records._local.knows("key") is False


def test_a_moment_is_at_least_a_millisecond():
    """A key that shall expire in 0 ms is deleted by Redis at once."""
    assert [_milliseconds(seconds) for seconds in (-1, 0.0001, 0.0016, 2)] == [1, 1, 2, 2000]


async def test_what_is_known_locally_is_bounded_and_runs_under_way_stay():
    records = KeyRecords(SharedRedis(""), prefix="", local_keys=2)
    for key in ("first", "second", "third"):
        await records.claim(key, "same", "t", seconds=60)
    for number in range(100):
        await records.claim(str(number), "same", "t", seconds=60)
        await records.keep(str(number), "same", "t", "answer", 60)
    keys = ("first", "second", "third", *map(str, range(100)))
    known = [key for key in keys if records._local.knows(key)]
    assert known == ["first", "second", "third", "99"]


@pytest.mark.parametrize("redis", ["redis"], indirect=True)
async def test_every_key_in_redis_expires(redis, redis_server):
    store = IdempotencyStore(redis, in_progress=60, keep=3600)
    run = asyncio.create_task(store.run("under way", "same", Work(seconds=3600)))
    await store.run("done", "same", Work())
    with redis_server.client() as client:
        expiry = sorted(client.ttl(key) for key in client.scan_iter())
    assert expiry == [pytest.approx(61, abs=2), pytest.approx(3600, abs=2)]
    run.cancel()


async def test_100_callers_of_two_connections_run_it_once(redis_server):
    async with contextlib.AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            redis = SharedRedis(redis_server.url, timeout=5)
            await redis.start()
            stack.push_async_callback(redis.close)
            stores.append(IdempotencyStore(redis))
        work = Work(seconds=0.1)
        turns = itertools.islice(itertools.cycle(stores), 100)
        answers = await asyncio.gather(*(store.run("key", "same", work) for store in turns))
    assert work.runs == 1
    assert {answer.body for answer in answers} == {b"run 1"}
    assert sum(not answer.replayed for answer in answers) == 1


CALLERS = """
    import asyncio, os, sys
    from redis.asyncio import Redis
    from upkeeper.idempotency import Answer, IdempotencyStore
    from upkeeper.shared import SharedRedis

    async def main(url):
        counting = Redis.from_url(url)
        redis = SharedRedis(url, timeout=5)
        await redis.start()
        store = IdempotencyStore(redis, wait=30)

        async def work():
            await counting.incr("runs")
            await asyncio.sleep(0.05)
            return Answer(200, (), str(os.getpid()).encode())

        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(5):
            answers = await asyncio.gather(*(store.run(f"key {number}", "same", work) for _ in range(50)))
            print(*sorted({answer.body.decode() for answer in answers}), flush=True)
        await redis.close()
        await counting.aclose()

    asyncio.run(main(sys.argv[1]))
"""


def test_two_processes_with_50_callers_each_run_each_key_once(redis_server):
    command = [sys.executable, "-c", textwrap.dedent(CALLERS), redis_server.url]
    processes = [
        subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=30)[0].splitlines() for process in processes]
    assert len(told[0]) == 5
    assert told[0] == told[1]  # one answer for each key, the same one in both
    with redis_server.client() as client:
        assert int(client.get("runs")) == 5


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["done", "500", "raises", "cancelled"]), min_size=1, max_size=8), st.booleans())
@example(["cancelled", "raises", "500", "done", "done"], True)
def test_whatever_runs_do_there_is_one_at_a_time_and_none_after_success(redis_server, ends, with_redis):
    asyncio.run(_whatever_runs_do(redis_server.url if with_redis else "", ends))


async def _whatever_runs_do(url, ends):
    redis = SharedRedis(url, timeout=5)
    await redis.start()
    key = secrets.token_hex()
    store = IdempotencyStore(redis)
    under_way = successes = 0

    async def request(end):
        async def work():
            nonlocal under_way, successes
            assert (under_way, successes) == (0, 0)
            under_way += 1
            try:
                await asyncio.sleep(0.001)
                if end == "raises":
                    raise ZeroDivisionError
                if end == "cancelled":
                    asyncio.current_task().cancel()
                    await asyncio.sleep(0)
                successes += end == "done"
                return Answer(500 if end == "500" else 200, (), b"")
            finally:
                under_way -= 1

        return await store.run(key, "same", work)

    results = await asyncio.gather(*(request(end) for end in ends), return_exceptions=True)
    assert not any(isinstance(result, AssertionError | Refusal) for result in results)
    assert successes == ("done" in ends)
    replays = [result for result in results if isinstance(result, Answer) and result.replayed]
    assert all(answer.status == 200 for answer in replays)
    await redis.close()


async def test_redis_dies_under_a_run_and_this_process_still_knows(shared, redis_server):
    store = IdempotencyStore(shared)
    work = Work(seconds=0.1)
    run = asyncio.create_task(store.run("key", "same", work))
    await asyncio.sleep(0.03)
    redis_server.kill()
    await run
    assert (await store.run("key", "same", work)).replayed
    redis_server.start()
    async with asyncio.timeout(60):
        while not shared.available:
            await asyncio.sleep(0.01)
    assert (await store.run("key", "same", work)).replayed
    assert work.runs == 1


async def test_redis_comes_back_under_a_run_and_all_know(shared, redis_server):
    redis_server.kill()
    store = IdempotencyStore(shared)
    work = Work(seconds=0.0)
    back = asyncio.Event()

    async def until_redis_is_back():
        await back.wait()
        return await work()

    run = asyncio.create_task(store.run("key", "same", until_redis_is_back))
    await asyncio.sleep(0.03)
    redis_server.start()
    async with asyncio.timeout(60):
        while not shared.available:
            await asyncio.sleep(0.01)
    back.set()
    await run
    assert (await IdempotencyStore(shared).run("key", "same", work)).replayed
    assert (await store.run("key", "same", work)).replayed
    assert work.runs == 1


@pytest.mark.parametrize("then", ["thaw", "kill"])
async def test_a_request_cancelled_while_its_answer_is_kept_is_done_all_the_same(redis_server, then):
    redis = SharedRedis(redis_server.url, timeout=5)
    await redis.start()
    store = IdempotencyStore(redis)
    worked = asyncio.Event()

    async def work():
        redis_server.freeze()
        worked.set()
        return Answer(200, (), b"done")

    run = asyncio.create_task(store.run("key", "same", work))
    await worked.wait()
    await asyncio.sleep(0.02)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    getattr(redis_server, then)()
    assert (await store.run("key", "same", Work())).body == b"done"
    await redis.close()


async def test_a_request_cancelled_while_it_claims_leaves_no_claim(redis_server):
    redis = SharedRedis(redis_server.url, timeout=5)
    await redis.start()
    store = IdempotencyStore(redis, wait=0)
    redis_server.freeze()
    run = asyncio.create_task(store.run("key", "same", Work()))
    await asyncio.sleep(0.02)
    run.cancel()
    await asyncio.sleep(0.02)
    redis_server.thaw()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await store.run("key", "same", Work())).body == b"run 1"
    await redis.close()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 255 + '"', "k" * 255),
    ],
)
def test_a_key(value, key):
    assert parse_key([value]) == key


@pytest.mark.parametrize(
    "values",
    [[], [""], ['""'], ['"open'], ['"a"b'], ["two words"], ["ä"], ["k" * 256], ['"' + "k" * 256 + '"'], ["a", "a"]],
)
def test_what_is_no_key(values):
    with pytest.raises(IdempotencyKeyInvalid) as refused:
        parse_key(values)
    assert refused.value.status == 400


def test_parts_do_not_run_into_each_other():
    assert fingerprint("POST", "/a", b"b") != fingerprint("POST", "/ab", b"")
    assert scoped_key("a", "bc") != scoped_key("ab", "c")
    assert scoped_key("a", "b") == scoped_key("a", "b")


class Order(BaseModel):
    id: int


@pytest.fixture
async def client(store):
    """A shop with one route, and a client of it that signs in by a header."""
    app = FastAPI()
    app.add_exception_handler(Refusal, answer_refusal)
    app.state.keys = []
    app.state.afterwards = 0

    async def afterwards():
        app.state.afterwards += 1

    @app.post("/checkout")
    @app.post("/elsewhere")
    async def checkout(order: Order, request: Request) -> Response:
        async def pay(key: str) -> Response:
            app.state.keys.append(key)
            response = JSONResponse({"paid": order.id}, 201, background=BackgroundTask(afterwards))
            response.headers["Location"] = f"/orders/{order.id}"
            response.headers["X-Trace"] = "of the first"
            response.set_cookie("session", "secret")
            return response

        return await store.respond(request, pay, caller=request.headers.get("X-Caller", ""))

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as client:
        client.app = app
        yield client


async def test_a_route_is_replayed(client):
    headers = {"Idempotency-Key": '"one"'}
    first = await client.post("/checkout", json={"id": 1}, headers=headers)
    second = await client.post("/checkout", json={"id": 1}, headers=headers)
    assert (first.status_code, first.json(), first.headers["location"]) == (201, {"paid": 1}, "/orders/1")
    assert (second.status_code, second.json(), second.headers["location"]) == (201, {"paid": 1}, "/orders/1")
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == "application/json"
    assert len(client.app.state.keys) == 1


async def test_cookies_other_headers_and_background_tasks_are_the_first_clients_only(client):
    headers = {"Idempotency-Key": "one"}
    first = await client.post("/checkout", json={"id": 1}, headers=headers)
    client.cookies.clear()
    second = await client.post("/checkout", json={"id": 1}, headers=headers)
    assert {"set-cookie", "x-trace"} <= set(first.headers)
    assert not {"set-cookie", "x-trace"} & set(second.headers)
    assert client.app.state.afterwards == 1


async def test_a_route_without_a_key(client):
    answer = await client.post("/checkout", json={"id": 1})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"), [("/checkout", {"id": 2}), ("/elsewhere", {"id": 1}), ("/checkout?q", {"id": 1})]
)
async def test_the_same_key_for_another_body_path_or_query(client, path, body):
    headers = {"Idempotency-Key": "one"}
    await client.post("/checkout", json={"id": 1}, headers=headers)
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "This Idempotency-Key was used for another request."


async def test_nobody_gets_what_was_anothers(client):
    answers = [
        await client.post("/checkout", json={"id": 1}, headers={"Idempotency-Key": "one", "X-Caller": caller})
        for caller in ("anna", "bert")
    ]
    assert all("idempotency-replayed" not in answer.headers for answer in answers)
    assert len(set(client.app.state.keys)) == 2


async def test_a_body_that_is_no_order_takes_no_key(client):
    headers = {"Idempotency-Key": "one"}
    assert (await client.post("/checkout", json={"id": "x"}, headers=headers)).status_code == 422
    assert (await client.post("/checkout", json={"id": 1}, headers=headers)).status_code == 201


def repeated(response, *, times=3):
    """Ask for the same so many times; the statuses, the last answer, and how often it was done."""
    store, done = IdempotencyStore(SharedRedis("")), []
    app = FastAPI(exception_handlers={Refusal: answer_refusal})

    @app.post("/pay")
    async def pay(request: Request):
        async def work(key):
            done.append(key)
            return response()

        return await store.respond(request, work)

    client = TestClient(app)
    answers = [client.post("/pay", headers={"Idempotency-Key": "key"}) for _ in range(times)]
    return [answer.status_code for answer in answers], answers, len(done)


def test_a_streaming_answer_goes_to_its_client_and_nothing_is_done_again():
    statuses, answers, done = repeated(lambda: StreamingResponse(iter([b"o", b"k"])))
    assert (statuses, answers[0].content, done) == ([200, 409, 409], b"ok", 1)


def test_a_replay_has_all_fields_of_a_repeated_header():
    def response():
        answer = Response(b"1", 201, media_type="text/plain")
        answer.headers.append("Link", "</a>; rel=next")
        answer.headers.append("Link", "</b>; rel=self")
        return answer

    statuses, answers, done = repeated(response, times=2)
    assert (statuses, done) == ([201, 201], 1)
    assert answers[1].headers.get_list("link") == ["</a>; rel=next", "</b>; rel=self"]
    assert answers[1].headers.get_list("content-type") == answers[0].headers.get_list("content-type")


def test_a_caller_whose_name_is_no_unicode_has_keys_of_its_own():
    assert len({scoped_key("\ud800", "key"), scoped_key("\ud801", "key"), scoped_key("?", "key")}) == 3


async def test_an_answer_of_a_time_without_redis_is_told_to_it_when_it_is_back(redis_server):
    ours, theirs = [SharedRedis(redis_server.url, timeout=0.2, check_every=0.02) for _ in range(2)]
    for redis in (ours, theirs):
        await redis.start()
    store, other = (IdempotencyStore(redis, wait=0.01) for redis in (ours, theirs))
    runs = []

    async def work():
        runs.append("run")
        redis_server.freeze()
        return Answer(200, (), b"receipt")

    try:
        assert not (await store.run("key", "same", work)).replayed
        assert not ours.available
        assert (await store.run("key", "same", work)).replayed, "known here all the same"
    finally:
        redis_server.thaw()
    async with asyncio.timeout(60):
        while not theirs.available:
            await asyncio.sleep(0.01)
        while True:
            with contextlib.suppress(IdempotencyConflict):
                answer = await other.run("key", "same", work)
                break
            await asyncio.sleep(0.01)
    assert (answer.body, answer.replayed, runs) == (b"receipt", True, ["run"])
    for redis in (ours, theirs):
        await redis.close()


async def test_a_key_whose_run_outlives_redis_is_not_run_again_here(redis_server):
    redis = SharedRedis(redis_server.url, timeout=0.2)
    await redis.start()
    store, runs, go_on = IdempotencyStore(redis, wait=0.01), [], asyncio.Event()

    async def work():
        runs.append("run")
        await go_on.wait()
        return Answer(200, (), b"receipt")

    first = asyncio.create_task(store.run("key", "same", work))
    while not runs:
        await asyncio.sleep(0.01)
    redis_server.kill()
    for _ in range(2):
        with pytest.raises(IdempotencyConflict):
            await store.run("key", "same", work)
    go_on.set()
    assert (await first).body == b"receipt"
    assert (await store.run("key", "same", work)).replayed
    assert runs == ["run"]
    await redis.close()
