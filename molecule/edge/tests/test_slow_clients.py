"""Who is slow on purpose waits alone; what is to be slow, streams."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import on
from clients import ask, asked, p99, statuses

ATTACKS = {
    "headers": "-H -i 3",
    "body": "-B -s 100000 -x 10 -i 3",
    "reading": "-X -w 10 -y 20 -n 3 -z 5 -k 3",
    # Where Nginx keeps no body back, the app has each of them open.
    "body of a stream": "-B -s 100000 -x 10 -i 3",
}


# A thousand connections in all. In the long form there is one kind of them at a time as well.
AT_ONCE = [tuple(ATTACKS)]
if os.environ.get("LONG"):
    AT_ONCE += [(attack,) for attack in ATTACKS]


@pytest.fixture(scope="module", autouse=True)
def _slowhttptest(host):
    on(host, "command -v slowhttptest || apt-get install -qq -y --no-install-recommends slowhttptest >/dev/null")


def connections(host):
    """How many connections Nginx has open."""
    script = (
        "import urllib.request as u; print(u.build_opener(u.ProxyHandler({})).open('http://127.0.80.80/status').read())"
    )
    return int(re.search(r"Active connections: (\d+)", on(host, "python3 -c %s", script))[1])


def slow(host, attack, number):
    """Open so many slow connections of a kind, and keep them until the program is ended."""
    path = "upload" if "stream" in attack else ""
    each = f"-c {number} -r {number // 2} -l 60 -p 3 {ATTACKS[attack]}"
    return host.run(f"slowhttptest {each} -u https://127.0.0.1/{path}").stdout


@pytest.mark.parametrize("attacks", AT_ONCE, ids=" and ".join)
def test_a_thousand_slow_connections_slow_nobody_else_down(host, attacks):
    alone = p99(asked(host, "/limited", source="127.2.0.2", seconds=3, pause=0.15))
    with ThreadPoolExecutor() as beside:
        attacked = [beside.submit(slow, host, attack, 1000 // len(attacks)) for attack in attacks]
        while connections(host) < 950 and not any(each.done() for each in attacked):
            time.sleep(0.2)
        answers = asked(host, "/limited", source="127.2.0.1", seconds=3, pause=0.15)
        assert connections(host) > 950, [each.result() for each in attacked]
        on(host, "pkill -x slowhttptest")
    assert statuses(answers).keys() == {200}
    # On a quiet machine an answer takes milliseconds; on a busy one it takes no longer than without the attack.
    assert p99(answers) < max(0.2, 2 * alone)


def test_an_upload_reaches_the_app_as_it_comes_only_where_the_route_says_so(host):
    wish = {"method": "POST", "size": 1000, "between": 1.0}
    assert ask(host, "/upload", **wish).json()["waited"] > 0.5
    assert ask(host, "/elsewhere", **wish).json()["waited"] < 0.5


def test_events_come_when_they_happen_and_may_be_apart_for_longer_than_other_answers(host):
    answer = ask(host, "/events")
    assert answer.body == "data: first\n\ndata: second\n\n"
    assert answer.ended - answer.first > 2


def test_an_app_that_takes_too_long_is_reported_in_json(host):
    answer = ask(host, "/late?sleep=3")
    assert (answer.status, answer.json()) == (504, {"detail": "The application took too long to answer"})
