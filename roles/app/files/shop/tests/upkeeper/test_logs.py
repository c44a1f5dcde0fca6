"""Logs: one JSON object per line from whoever writes, with the request's id, and without what is secret."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import httpx2
import pytest
import structlog
from upkeeper.logs import configure_logs

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROJECT = Path(__file__).parents[2]

APPLICATION = """
import asyncio, logging
import structlog
from fastapi import FastAPI
from upkeeper.context import RequestContextMiddleware
from upkeeper.deadline import DeadlineMiddleware
from upkeeper.logs import configure_logs

configure_logs("info", json=True)
api = FastAPI()
app = RequestContextMiddleware(DeadlineMiddleware(api, default=0.2))

@api.get("/quiet")
async def quiet():
    return "nothing to tell"

@api.get("/told")
async def told():
    structlog.get_logger("shop").info("sold", order=7)
    logging.getLogger("shop.old").info("sold %d", 8)

@api.get("/bug")
async def bug(password: str):
    return 1 / 0

@api.get("/slow")
async def slow():
    await asyncio.sleep(30)
"""

SERVERS = {
    "uvicorn": ["uvicorn", "application:app", "--uds", "http.sock"],
    "gunicorn": [
        *("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "application:app"),
        *("-b", "unix:http.sock", "--no-control-socket"),
    ],
}


@pytest.fixture(params=SERVERS)
def written(request, tmp_path):
    """What a real server writes for four requests, each with its path as its id."""
    (tmp_path / "application.py").write_text(APPLICATION)
    command = [sys.executable, "-m", *SERVERS[request.param]]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=log, stdout=log, env=environment)
    try:
        # One connection per request: a slow machine must not meet the server's keep-alive time-out.
        limits = httpx2.Limits(max_keepalive_connections=0)
        transport = httpx2.HTTPTransport(uds=str(tmp_path / "http.sock"), limits=limits)
        with httpx2.Client(transport=transport, base_url="http://test", timeout=10) as client:
            for _ in range(500):
                try:
                    client.get("/quiet", headers={"X-Request-ID": "quiet"})
                    break
                except httpx2.ConnectError:
                    time.sleep(0.02)
            for path, query in [("told", ""), ("bug", "?password=hunter2"), ("slow", "?token=hunter2")]:
                client.get(
                    f"/{path}{query}", headers={"X-Request-ID": path, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
                )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    return (tmp_path / "log").read_text()


def test_servers_write_one_object_per_line_with_the_requests_id(written):
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    of_request = {}
    for line in lines:
        of_request.setdefault(line.get("request_id"), []).append(line)
        assert {"timestamp", "level", "logger", "event"} <= line.keys()

    assert "quiet" not in of_request, "the proxy writes the line for each request"
    assert [(line["logger"], line["event"], line.get("order")) for line in of_request["told"]] == [
        ("shop", "sold", 7),
        ("shop.old", "sold 8", None),
    ]
    assert {line["trace_id"] for line in of_request["told"]} == {TRACE}
    [bug] = of_request["bug"]
    assert (bug["logger"], bug["level"]) == ("uvicorn.error", "error")
    assert bug["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert bug["exception"][0]["frames"][-1]["name"] == "bug"
    [slow] = of_request["slow"]
    assert (slow["logger"], slow["level"]) == ("upkeeper.deadline", "warning")
    assert "hunter2" not in written


@pytest.fixture
def configure():
    """configure_logs, undone at the end."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.Logger.manager.loggerDict))]
    before = [(each, each.handlers, each.propagate, each.level) for each in loggers]
    yield configure_logs
    logging.captureWarnings(False)
    structlog.reset_defaults()
    for each, handlers, propagate, level in before:
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


def log_an_exception(password):
    try:
        raise RuntimeError("no connection")
    except RuntimeError:
        logging.getLogger("old").exception("first")
        structlog.get_logger("new").exception("second")


def test_local_variables_stay_out_of_json(configure, capfd):
    configure("info", json=True)
    log_an_exception("hunter2")
    text = capfd.readouterr().err
    assert [json.loads(line)["exception"][0]["exc_value"] for line in text.splitlines()] == ["no connection"] * 2
    assert "hunter2" not in text


def test_local_variables_stay_out_of_a_terminal(configure, capfd):
    configure("info", json=False)
    log_an_exception("hunter2")
    text = capfd.readouterr().err
    assert text.count("RuntimeError: no connection") == 2
    assert "hunter2" not in text


def test_a_line_for_a_person_shows_keys_and_values(configure, capfd):
    configure("info", json=False)
    structlog.get_logger("shop").info("sold", order=7)
    assert "sold" in (text := capfd.readouterr().err)
    assert "order=7" in text


def test_the_level_holds_for_both(configure, capfd):
    configure("warning")
    for log in (structlog.get_logger("new"), logging.getLogger("old")):
        log.info("small")
        log.warning("big")
    assert [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()] == ["big", "big"]


def test_a_level_that_does_not_exist_is_refused(configure):
    with pytest.raises(ValueError, match="LOUD"):
        configure("loud")


def test_time_is_utc(configure, capfd):
    configure()
    logging.getLogger("any").info("now")
    assert json.loads(capfd.readouterr().err)["timestamp"].endswith("Z")


def test_warnings_are_lines_too(configure, capfd):
    configure()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", stacklevel=1)
    line = json.loads(capfd.readouterr().err)
    assert (line["logger"], line["level"]) == ("py.warnings", "warning")


def test_to_configure_again_replaces(configure, capfd):
    configure()
    configure()
    logging.getLogger("any").info("once")
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_requests_to_other_services_are_not_written_with_their_query(configure, capfd):
    configure()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = "http://{}:{}/?token=hunter2".format(*nobody.getsockname())
        nobody.close()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url)
    logging.getLogger("httpx2").info("HTTP Request: GET %s", url)
    assert "hunter2" not in capfd.readouterr().err
