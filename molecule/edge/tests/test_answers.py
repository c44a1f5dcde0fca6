"""What every answer carries, and what static files and kept answers add."""

import time

import pytest
from asking import on
from clients import ask, asked

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "strict-transport-security": "max-age=63072000",
}


def heard(answer):
    return answer.json()["headers"]


@pytest.mark.parametrize(
    ("status", "path", "wish"),
    [
        (200, "/", {}),
        (200, "/static/site.css", {}),
        (404, "/static/none.css", {}),
        (404, "/?status=404", {}),
        (404, "/metrics", {}),
        (413, "/", {"method": "POST", "size": 2_000_000}),
        (500, "/?status=500", {}),
        (503, "/?status=503", {}),
        (504, "/?sleep=3", {}),
    ],
)
def test_every_answer_has_the_security_headers(host, status, path, wish):
    answer = ask(host, path, **wish)
    assert answer.status == status
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert answer.headers["x-request-id"]


def test_a_redirect_has_them_too_but_for_what_is_said_over_tls_only(host):
    answer = ask(host, "/a?b", tls=False)
    assert (answer.status, answer.headers["location"]) == (301, "https://edge.example.com/a?b")
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY | {"strict-transport-security": None}


def test_so_have_refused_clients_and_those_of_an_app_that_is_gone(host):
    answers = asked(host, "/login", source="127.3.0.1", clients=4)
    refused = next(answer for answer in answers if answer.status != 200)
    on(host, "systemctl stop edge-app")
    try:
        gone = ask(host, "/")
    finally:
        on(host, "systemctl start edge-app")
    assert (refused.status, gone.status) == (429, 502)
    for answer in (refused, gone):
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY


def test_only_listed_proxies_are_believed_who_the_client_is(host):
    lie = {"X-Forwarded-For": "192.0.2.1, 198.51.100.7"}
    assert heard(ask(host, "/", source="127.0.0.1", headers=lie))["x-forwarded-for"] == "127.0.0.1"
    told = heard(ask(host, "/", source="127.9.0.1", headers=lie))
    assert told["x-forwarded-for"] == told["x-real-ip"] == "198.51.100.7"
    chain = {"X-Forwarded-For": "198.51.100.7, 127.9.3.3"}
    assert heard(ask(host, "/", source="127.9.0.1", headers=chain))["x-real-ip"] == "198.51.100.7"


def test_limits_count_the_client_and_not_the_proxy(host):
    clients = [
        asked(host, "/login", source="127.9.0.1", clients=2, headers={"X-Forwarded-For": f"198.51.100.{number}"})
        for number in (1, 2, 3)
    ]
    assert {answer.status for answers in clients for answer in answers} == {200}


def test_a_compressed_copy_is_served_to_who_takes_it_and_changes_with_the_release(host):
    on(host, "for release in one two; do gzip --keep --force /srv/edge/$release/static/site.css; done")
    assert ask(host, "/static/site.css", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
    answer = ask(host, "/static/site.css")
    assert "content-encoding" not in answer.headers
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    bodies = [answer.body]
    for release in ("two", "one"):
        on(host, f"ln -s {release} /srv/edge/next && mv -T /srv/edge/next /srv/edge/current")
        bodies.append(ask(host, "/static/site.css").body)
    assert bodies == ["body { color: red }\n", "body { color: blue }\n", "body { color: red }\n"]


def test_an_answer_is_given_to_all_for_a_second_and_fetched_by_one(host):
    first = asked(host, "/cached?a", clients=20)
    assert len({answer.json()["number"] for answer in first}) == 1
    on(host, "sleep 1.5")
    stale = ask(host, "/cached?a").json()["number"]
    assert stale == first[0].json()["number"]
    # That one question has Nginx fetch the next answer; on a busy machine a moment later.
    give_up = time.monotonic() + 30
    while ask(host, "/cached?a").json()["number"] == stale:
        assert time.monotonic() < give_up


@pytest.mark.parametrize("header", ["Authorization", "Cookie", "X-API-Key"])
def test_no_answer_to_credentials_is_kept_or_given(host, header):
    path = f"/cached?{header}"
    own = [ask(host, path, headers={header: "secret"}) for _ in range(2)]
    assert heard(own[0])[header.lower()] == "secret"
    everybody = ask(host, path)
    assert header.lower() not in heard(everybody)
    again = ask(host, path, headers={header: "secret"})
    assert len({answer.json()["number"] for answer in [*own, everybody, again]}) == 4


def test_no_answer_that_sets_a_cookie_is_kept(host):
    assert len({ask(host, "/cached?cookie=1").json()["number"] for _ in range(2)}) == 2
