"""The simulator behaves well and badly, as it is told, in a process of its own."""

import asyncio
import contextlib
import math
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
CHARGE = {"amount": 450, "order": 1}
COMMANDS = {
    "uvicorn": ["-m", "payments", "--uds"],
    "gunicorn": ["-m", "gunicorn", "-w1", "-k", "uvicorn_worker.UvicornWorker", "payments.main:app", "--bind"],
}


class Simulator:
    """A process that runs the simulator on a Unix socket."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.socket = folder / "http.sock"
        self.log = folder / "log"
        # Gunicorn wants to be told that an address is a Unix socket.
        address = f"unix:{self.socket}" if "gunicorn" in command else str(self.socket)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, address], cwd=PROJECT, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"The simulator did not start within a minute: {self.log.read_text()}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def client(self) -> httpx2.AsyncClient:
        transport = httpx2.AsyncHTTPTransport(uds=str(self.socket))
        return httpx2.AsyncClient(transport=transport, base_url="http://simulator", timeout=30)


@pytest.fixture(scope="module", params=list(COMMANDS))
def simulator(request):
    with tempfile.TemporaryDirectory(prefix="payments-") as folder:
        simulator = Simulator(COMMANDS[request.param], Path(folder))
        yield simulator
        simulator.stop()
        log = simulator.log.read_text()
        assert "Traceback" not in log, log
        assert "ERROR" not in log, log


@pytest.fixture
async def client(simulator):
    """A client of services that behave."""
    async with simulator.client() as client:
        for service in ("warehouse", "payments"):
            await client.put(f"/behaviour/{service}", json={})
        yield client


async def behave(client, service, **behaviour):
    answer = await client.put(f"/behaviour/{service}", json=behaviour)
    assert answer.status_code == 200, answer.text


async def counted(client, service):
    """Calls that arrived, and calls in flight."""
    shown = (await client.get("/behaviour")).json()[service]
    return shown["calls"], shown["in_flight"]


async def charges(client):
    return (await client.get("/payments/charges")).json()


async def test_orders(client):
    assert (await client.get("/warehouse/orders/1")).json() == {"id": 1, "item": "Espresso cup", "quantity": 2}
    assert (await client.get("/warehouse/orders/2")).json() == {"id": 2, "item": "Pour-over kettle", "quantity": 1}
    assert (await client.get("/warehouse/orders/3")).json() == {"id": 3, "item": "Paper filters", "quantity": 100}
    assert (await client.get("/warehouse/orders/4")).status_code == 404


async def test_a_charge_without_a_key_is_made_each_time(client):
    before = len(await charges(client))
    answers = [(await client.post("/payments/charges", json=CHARGE)).json() for _ in range(2)]
    assert answers[0]["id"] != answers[1]["id"]
    assert answers[0] | {"id": ""} == CHARGE | {"id": "", "status": "charged"}
    assert (await charges(client))[before:] == answers


async def test_one_key_charges_once(client):
    before = len(await charges(client))
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(client.post("/payments/charges", json=CHARGE, headers=headers) for _ in range(20)),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(await charges(client)) == before + 1


async def test_one_key_is_for_one_charge(client):
    headers = {"Idempotency-Key": "another"}
    await client.post("/payments/charges", json=CHARGE, headers=headers)
    answer = await client.post("/payments/charges", json=CHARGE | {"amount": 451}, headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize("change", [{"amount": 0}, {"amount": "much"}, {"order": None}])
async def test_a_charge_that_makes_no_sense(client, change):
    assert (await client.post("/payments/charges", json=CHARGE | change)).status_code == 422


async def test_fail(client):
    await behave(client, "payments", mode="fail")
    before = await charges(client)
    assert (await client.post("/payments/charges", json=CHARGE)).status_code == 500
    assert await charges(client) == before


async def test_busy(client):
    await behave(client, "payments", mode="busy", seconds=2.5)
    answer = await client.post("/payments/charges", json=CHARGE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_drop_breaks_the_connection_off_after_the_work(client):
    await behave(client, "payments", mode="drop")
    before = len(await charges(client))
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post("/payments/charges", json=CHARGE, headers={"Idempotency-Key": "lost"})
    assert len(await charges(client)) == before + 1
    await behave(client, "payments")
    again = await client.post("/payments/charges", json=CHARGE, headers={"Idempotency-Key": "lost"})
    assert again.json() == (await charges(client))[-1]
    assert len(await charges(client)) == before + 1


async def test_drop_sends_not_a_byte(client, simulator):
    await behave(client, "warehouse", mode="drop")
    reader, writer = await asyncio.open_unix_connection(simulator.socket)
    writer.write(b"GET /warehouse/orders/1 HTTP/1.1\r\nHost: simulator\r\n\r\n")
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_stall_answers_late(client):
    await behave(client, "warehouse", mode="stall", seconds=0.3)
    started = time.monotonic()
    assert (await client.get("/warehouse/orders/1")).status_code == 200
    assert time.monotonic() - started >= 0.3


async def test_a_stalled_call_is_in_flight_until_its_client_leaves(client):
    await behave(client, "warehouse", mode="stall", seconds=3600)
    calls, _ = await counted(client, "warehouse")
    stalled = [asyncio.create_task(client.get("/warehouse/orders/1", timeout=60)) for _ in range(5)]
    async with asyncio.timeout(30):
        while await counted(client, "warehouse") != (calls + 5, 5):
            await asyncio.sleep(0.01)
    for task in stalled:
        task.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)
    async with asyncio.timeout(30):
        while await counted(client, "warehouse") != (calls + 5, 0):
            await asyncio.sleep(0.01)


async def test_stalled_calls_do_not_hold_up_the_end_nor_fill_the_log():
    with tempfile.TemporaryDirectory(prefix="payments-") as folder:
        simulator = Simulator(COMMANDS["uvicorn"], Path(folder))
        async with simulator.client() as client:
            await behave(client, "warehouse", mode="stall", seconds=3600)
            stalled = [asyncio.create_task(client.get("/warehouse/orders/1", timeout=60)) for _ in range(3)]
            async with asyncio.timeout(30):
                while (await counted(client, "warehouse"))[1] < 3:
                    await asyncio.sleep(0.01)
            simulator.process.terminate()
            ended = await asyncio.gather(*stalled, return_exceptions=True)
        simulator.stop()
        assert {type(end) for end in ended} == {httpx2.RemoteProtocolError}
        assert "Exception in ASGI application" not in simulator.log.read_text()


async def test_only_the_share_of_calls_is_disturbed(client):
    await behave(client, "warehouse", mode="fail", share=0.5)
    answers = [(await client.get("/warehouse/orders/1")).status_code for _ in range(200)]
    assert set(answers) == {200, 500}
    # Seven standard deviations of the binomial distribution: red by chance once in a million million runs.
    assert abs(answers.count(500) - 100) < 7 * math.sqrt(200 * 0.5 * 0.5)


async def test_after_so_many_calls_it_is_ok_again(client):
    await behave(client, "warehouse", mode="fail", times=2)
    assert [(await client.get("/warehouse/orders/1")).status_code for _ in range(4)] == [500, 500, 200, 200]
    told = (await client.get("/behaviour")).json()["warehouse"]
    assert (told["mode"], told["times"]) == ("ok", None)


async def test_each_service_has_its_own_behaviour_and_count(client):
    await behave(client, "payments", mode="fail")
    warehouse, payments = await counted(client, "warehouse"), await counted(client, "payments")
    assert (await client.get("/warehouse/orders/1")).status_code == 200
    assert await counted(client, "warehouse") == (warehouse[0] + 1, 0)
    assert await counted(client, "payments") == payments


async def test_health_behaviour_and_the_list_are_never_disturbed_nor_counted(client):
    for service in ("warehouse", "payments"):
        await behave(client, service, mode="drop")
    before = (await client.get("/behaviour")).json()
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert (await client.get("/payments/charges")).status_code == 200
    assert (await client.get("/behaviour")).json() == before


@pytest.mark.parametrize(
    ("service", "behaviour"),
    [
        ("payments", {"mode": "sulk"}),
        ("payments", {"share": 2}),
        ("payments", {"seconds": -1}),
        ("payments", {"times": 0}),
        ("bank", {}),
    ],
)
async def test_a_behaviour_that_is_none(client, service, behaviour):
    assert (await client.put(f"/behaviour/{service}", json=behaviour)).status_code == 422
