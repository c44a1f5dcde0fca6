"""Workers, the database and Redis are killed at random under load; a model that knows every order says what is right.

No order is charged twice, none is lost whose receipt a client has, and there is no answer but 2xx, 409, 429, 503 and
504. Each client speaks to the workers themselves. A connection that breaks leaves it in the dark, so it asks again with
its key.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from clients import BROKEN, Client

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
SECONDS = 600 if os.environ.get("LONG") else 60
CLIENTS = 8
ENOUGH = 20  # orders that were confirmed; a busy machine may need longer for them
PAUSE = 0.5  # of a client after each order
LAST_ORDER = 9_500  # payments remember 10,000 charges
ALLOWED = {BROKEN, 200, 409, 429, 503, 504}


class Worker:
    """One process of the shop on a socket of its own."""

    def __init__(self, folder: Path, number: int, environment: dict[str, str]) -> None:
        self.name = f"worker {number}"
        self.path = str(folder / f"{number}.sock")
        self.log = folder / f"{number}.log"
        self._environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environment}
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "shop.main:app", "--uds", self.path, "--log-level", "warning"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def answers(self) -> None:
        client = Client(self.path)
        async with asyncio.timeout(180):
            while (await client.ask("/readyz")).status != 200:
                assert self._process.poll() is None, self.log.read_text()[-3000:]
                await asyncio.sleep(0.1)
        client.close()


@dataclass
class Order:
    """What a client knows of its order: the receipts that it got."""

    number: int
    receipts: list[dict] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"key-{self.number}"

    @property
    def amount(self) -> int:
        return price(self.number) * 2


def price(number: int) -> int:
    return 100 + number % 997


class Model:
    """Every order that was asked for, and every answer that there was."""

    def __init__(self, workers: list[Worker], end: float) -> None:
        self.workers = workers
        self.end = end
        self.orders: list[Order] = []
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    @property
    def confirmed(self) -> int:
        return sum(bool(order.receipts) for order in self.orders)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.end and self.confirmed >= ENOUGH

    def next_order(self) -> Order:
        self.orders.append(Order(len(self.orders) + 1))
        return self.orders[-1]

    async def ask(self, client: Client, order: Order) -> None:
        """Check it out once."""
        headers = {"Idempotency_Key": order.key}
        answer = await client.ask("/api/checkout", method="POST", body={"order": order.number}, **headers)
        self.statuses[answer.status] += 1
        if answer.status == 200:
            order.receipts.append(answer.json())
        elif answer.status not in ALLOWED:
            self.wrong.append(f"order {order.number}: {answer.status} {answer.body!r}")
        elif answer.status not in {BROKEN, 504} and "retry-after" not in answer.headers:
            self.wrong.append(f"order {order.number}: {answer.status} without Retry-After")

    async def settle(self, order: Order, times: int, given_up: Callable[[], bool]) -> None:
        """Ask with the same key until there is so many times a receipt, each time any of the workers."""
        while len(order.receipts) < times and not given_up():
            before = len(order.receipts)
            client = Client(random.choice(self.workers).path, timeout=45)
            await self.ask(client, order)
            client.close()
            if len(order.receipts) == before:
                await asyncio.sleep(random.uniform(0.05, 0.3))

    async def buy(self) -> None:
        """One client: an order after the other, and some are asked for again after their receipt."""
        while not self.over and len(self.orders) < LAST_ORDER:
            await self.settle(self.next_order(), random.choice((1, 1, 2)), lambda: self.over)
            await asyncio.sleep(PAUSE)


async def trouble(victim, model: Model, kills: Counter[str]) -> None:
    """Kill it at a random moment and start it again after another, at least once."""
    while not (kills[victim.name] and model.over):
        await asyncio.sleep(random.uniform(1, 16 if isinstance(victim, Worker) else 8))
        await asyncio.to_thread(victim.kill)
        kills[victim.name] += 1
        await asyncio.sleep(random.uniform(0, 1.5))
        await asyncio.to_thread(victim.start)
        if isinstance(victim, Worker):
            await victim.answers()


@pytest.fixture
def workers(postgres, redis_server, simulator, tmp_path_factory):
    postgres.name, redis_server.name = "database", "Redis"
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        check=True,
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": postgres.url},
    )
    postgres.sql(
        "TRUNCATE orders, receipts; INSERT INTO orders SELECT number, 'Cup', 2, 100 + number % 997 "
        f"FROM generate_series(1, {LAST_ORDER + CLIENTS}) number"
    )
    environment = {
        "DATABASE_URL": postgres.url,
        "APP_REDIS_URL": redis_server.url,
        "APP_DEPENDENCIES_URL": simulator.url,
        "APP_BREAKER_RECOVERY_TIME": "1",
        "APP_RATE_LIMIT_ANONYMOUS": "1000000",
        "APP_RATE_LIMIT_CHECKOUT": "1000000",
    }
    folder = tmp_path_factory.mktemp("w")
    made = [Worker(folder, number, environment) for number in range(4)]
    for worker in made:
        worker.start()
    yield made
    for worker in made:
        worker.kill()


async def test_whatever_is_killed_no_order_is_charged_twice_and_none_is_lost(
    workers, postgres, redis_server, simulator
):
    await asyncio.gather(*(worker.answers() for worker in workers))
    simulator.put("/behaviour/payments", json={"mode": "drop", "share": 0.05})
    model, kills = Model(workers, time.monotonic() + SECONDS), Counter()
    async with asyncio.TaskGroup() as group:
        for victim in (*workers, postgres, redis_server):
            group.create_task(trouble(victim, model, kills))
        for _ in range(CLIENTS):
            group.create_task(model.buy())
    confirmed = model.confirmed
    print(
        f"\n  {len(model.orders)} orders, {confirmed} confirmed meanwhile; "
        f"answers {dict(model.statuses)}; killed {dict(kills)}"
    )

    # All is there again: whoever was left in the dark asks once more.
    simulator.put("/behaviour/payments", json={"mode": "ok"})
    places = asyncio.Semaphore(CLIENTS)

    async def ask_again(order: Order) -> None:
        async with places:
            give_up = time.monotonic() + 180
            await model.settle(order, len(order.receipts) + 1, lambda: time.monotonic() > give_up)

    dark = [order for order in model.orders if not order.receipts]
    await asyncio.gather(*(ask_again(order) for order in [*dark, *random.sample(model.orders, min(100, confirmed))]))
    faults = [line for worker in workers for line in worker.log.read_text().splitlines() if '"exception"' in line]
    assert not faults, "\n".join(faults)[:9000]
    judge(model, simulator.get("/payments/charges").json(), postgres)


def judge(model: Model, charges: list[dict], postgres) -> None:
    """Compare what clients were told, what payments did and what the database has."""
    assert model.wrong == []
    charged = Counter(charge["order"] for charge in charges)
    assert [number for number, times in charged.items() if times > 1] == [], "charged twice"
    by_order = {charge["order"]: charge for charge in charges}
    kept = {int(row[0]): (int(row[1]), row[2]) for row in postgres.sql("SELECT order_id, amount, charge FROM receipts")}
    for order in model.orders:
        with contextlib.suppress(IndexError):
            first = order.receipts[0]
            assert all(receipt == first for receipt in order.receipts), f"order {order.number} has two receipts"
        assert order.receipts, f"order {order.number} was never confirmed"
        assert first == {"order": order.number, "amount": order.amount, "charge": by_order[order.number]["id"]}
        assert kept.get(order.number) == (order.amount, first["charge"]), f"the receipt of order {order.number} is lost"
    assert len(kept) == len(model.orders)
