"""The shop with a database: its orders, the receipts that it keeps, and what it does without it."""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from shop.settings import Settings
from upkeeper.settings import load

PROJECT = Path(__file__).parents[2]
ROLES = PROJECT.parents[2]
ALEMBIC = Config(PROJECT / "alembic.ini")


@pytest.fixture
def migrated(postgres, monkeypatch):
    """The database as `alembic upgrade head` leaves it."""
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    command.upgrade(ALEMBIC, "head")
    return postgres


@pytest.fixture(scope="module")
def server(serve, simulator, _redis_process, _postgres_process):
    return serve(
        DATABASE_URL=_postgres_process.url,
        APP_REDIS_URL=_redis_process.url,
        APP_DEPENDENCIES_URL=simulator.url,
        APP_STEP_TIMEOUT="2",
        APP_RATE_LIMIT_CHECKOUT="1000",
        APP_RATE_LIMIT_ANONYMOUS="1000",
    )


@pytest.fixture
def shop(server, migrated, redis_server):
    with server.client() as client:
        yield client


@pytest.fixture
def charges(simulator):
    with simulator.client() as client:
        yield lambda: client.get("/payments/charges").json()


def check_out(shop, key="", order=1):
    return shop.post("/api/checkout", json={"order": order}, headers={"Idempotency-Key": key or uuid.uuid4().hex})


def until(condition):
    """Wait for what comes within a moment; it is an error when it does not within two minutes."""
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_the_migrations_make_what_the_code_uses_and_take_it_away_again(migrated):
    command.check(ALEMBIC)  # raises when a table of shop.tables is not what the migrations make
    command.downgrade(ALEMBIC, "base")
    assert migrated.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [["alembic_version"]]


def test_a_deploy_can_tell_which_revision_the_database_has(migrated):
    described = subprocess.run(
        [sys.executable, ROLES / "gunicorn/files/schema.py"], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    assert json.loads(described.stdout.splitlines()[-1]) == {"known": ["0001"], "heads": ["0001"]}


def test_a_migration_without_the_address_says_what_is_missing(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    migrating = [sys.executable, "-m", "alembic", "-c", PROJECT / "alembic.ini", "upgrade", "head"]
    ended = subprocess.run(migrating, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.splitlines()) == (
        1,
        ["DATABASE_URL is missing: write the address of the database, such as postgresql://shop@db.example/shop."],
    )


def test_what_is_no_postgresql_is_refused_in_one_sentence_without_its_password(monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", "mysql://shop:hunter2@db.example/shop")
    with pytest.raises(SystemExit):
        load(Settings)
    assert capsys.readouterr().err == (
        "DATABASE_URL: write the address of a PostgreSQL, such as postgresql://shop@db.example/shop.\n"
    )


def test_an_order_and_its_price_are_those_of_the_database(shop, migrated, charges):
    migrated.sql("INSERT INTO orders VALUES (4711, 'Milk jug', 3, 500)")
    receipt = check_out(shop, order=4711).json()
    assert (receipt["order"], receipt["amount"]) == (4711, 1500)
    assert receipt["charge"] in {charge["id"] for charge in charges()}
    [[order, amount, charge, answer]] = migrated.sql("SELECT order_id, amount, charge, answer FROM receipts")
    assert (int(order), int(amount), charge, json.loads(answer)) == (4711, 1500, receipt["charge"], receipt)
    assert check_out(shop, order=4712).status_code == 404
    assert check_out(shop, order=2**63).status_code == 422


def test_a_receipt_outlives_what_redis_knows_of_its_key(shop, redis_server, charges):
    before = len(charges())
    first = check_out(shop, "the-same")
    with redis_server.client() as admin:
        admin.flushall()
    again = check_out(shop, "the-same")
    assert (first.status_code, first.headers.get("Idempotency-Replayed")) == (200, None)
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.text) == (200, "true", first.text)
    with redis_server.client() as admin:
        admin.flushall()
    assert check_out(shop, "the-same", order=2).status_code == 422
    assert len(charges()) == before + 1


def test_a_receipt_that_cannot_be_written_is_no_second_charge(shop, migrated, charges):
    """Another transaction has the table, for longer than a step may take."""
    before = len(charges())
    with migrated.locked("receipts", "EXCLUSIVE"):
        refused = check_out(shop, "unwritten")
    assert "never pays twice" in refused.json()["detail"]
    assert len(charges()) == before + 1
    assert (refused.status_code, int(refused.headers["Retry-After"])) == (503, 5)
    assert check_out(shop, "unwritten").json()["charge"] == charges()[-1]["id"]
    assert len(charges()) == before + 1


def test_a_query_that_takes_too_long_is_stopped(shop, migrated):
    assert shop.get("/api/slow?seconds=0").json() == {"seconds": 0}
    assert shop.get("/api/slow?seconds=60").status_code == 504
    running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    until(lambda: migrated.sql(running) == [])


def database_state(shop):
    return next(each["state"] for each in shop.get("/api/status").json()["dependencies"] if each["name"] == "database")


def test_the_rest_works_while_the_database_is_away(shop, migrated):
    assert check_out(shop, "before").status_code == 200
    until(lambda: database_state(shop) == "up")
    migrated.kill()
    refused = check_out(shop, "meanwhile")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert {shop.get(path).status_code for path in ("/", "/readyz", "/api/orders/1", "/api/build")} == {200}
    until(lambda: database_state(shop) == "down")
    migrated.start()
    assert [check_out(shop, key).status_code for key in ("meanwhile", "before")] == [200, 200]
    assert migrated.sql("SELECT count(*) FROM receipts") == [["2"]]
    until(lambda: database_state(shop) == "up")


def test_a_database_that_was_not_migrated_is_seen(server, postgres):
    with contextlib.closing(server.client()) as shop:
        until(lambda: database_state(shop) == "down")
    assert "does not exist" in server.log.read_text()
