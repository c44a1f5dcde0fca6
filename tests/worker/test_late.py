"""A request whose answer has not begun when Nginx is about to give up is answered 504 by the worker."""

from __future__ import annotations

import json
import socket
import time

import pytest
from conftest import Start, wait_for

LATE = {"detail": "The application took too long to answer"}


@pytest.mark.every_version
def test_the_answer_that_is_late_is_504_and_the_app_goes_on(start: Start) -> None:
    gunicorn = start(environment={"PRODUCTION_FASTAPI_RELEASE": "one"})
    connection = gunicorn.connection()
    answer = connection.ask("/slow?seconds=5", **{"X-Answer-Within": "1"})
    assert (answer.status, json.loads(answer.text)) == (504, LATE)
    assert (answer.getheader("Connection"), answer.getheader("X-Release")) == ("close", "one")
    wait_for(lambda: "GET /slow was not answered in time; the client got 504, the app goes on." in gunicorn.log())
    assert gunicorn.ask("/pid").status == 200
    gunicorn.stop()
    assert "Traceback" not in gunicorn.log(), "its late answer goes nowhere"


def test_it_comes_at_the_end_of_the_time_and_not_sooner(start: Start) -> None:
    connection = start().connection()
    began = time.monotonic()
    assert connection.ask("/slow?seconds=60", **{"X-Answer-Within": "2.5"}).status == 504
    assert time.monotonic() - began > 2


def test_an_answer_in_time_stays_and_so_does_its_connection(start: Start) -> None:
    connection = start().connection()
    for _ in range(2):
        answer = connection.ask("/slow?seconds=0.1", **{"X-Answer-Within": "60"})
        assert (answer.status, answer.getheader("Connection")) == (200, None)


def test_an_answer_that_has_begun_may_go_on(start: Start) -> None:
    connection = start().connection()
    connection.request("GET", "/endless", headers={"X-Answer-Within": "1"})
    response = connection.getresponse()
    assert response.read(100 * len("tick\n")) == b"tick\n" * 100  # five seconds of it
    connection.sock.close()


def test_who_does_not_say_how_long_it_waits_is_answered_when_the_app_answers(start: Start) -> None:
    gunicorn = start()
    assert gunicorn.ask("/slow?seconds=2").text == '"done"'
    assert gunicorn.ask("/slow?seconds=2", **{"X-Answer-Within": "soon"}).text == '"done"'


def test_the_time_begins_when_the_request_is_there_in_whole(start: Start) -> None:
    gunicorn = start()
    head = b"POST /echo HTTP/1.1\r\nhost: a\r\nx-answer-within: 1\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(gunicorn.folder / "http.sock"))
        client.settimeout(2)
        client.sendall(head + b"bo")
        try:
            assert client.recv(100) is None, "nothing is late yet"
        except TimeoutError:
            client.sendall(b"dy")
        client.settimeout(60)
        wait_for(lambda: client.recv(1000).startswith(b"HTTP/1.1 200"))


def test_a_worker_that_drains_answers_what_is_late_too(start: Start) -> None:
    gunicorn = start()
    connection = gunicorn.connection()
    before = len(gunicorn.at_work())
    connection.request("GET", "/slow?seconds=60", headers={"X-Answer-Within": "4"})
    wait_for(lambda: len(gunicorn.at_work()) > before)
    gunicorn.process.terminate()
    assert connection.getresponse().status == 504
