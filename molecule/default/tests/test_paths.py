"""Nginx and two apps read a path in the same way, whatever the path is: the sample, and one that mounts another app."""

import os
from collections import Counter
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from subprocess import run
from urllib.parse import unquote

import pytest
from asking import name_of, on

APP = Path(__file__).parents[1] / "app"
# LONG=1 asks for more than 20,000.
COUNT = 21_000 if os.environ.get("LONG") else 900
FOLDER = "/etc/nginx/production.fastapi/sites"
PATHS, SHOP = "paths.example.com", "shop.example.com"

# The site of the sample, for another app. Nothing else of it is changed.
SITE = f"""
sed 's,fastapi_shop,fastapi_paths,g; s,/run/shop/,/run/paths/,; s/shop[.]ex/paths.ex/' \
  {FOLDER}/shop.conf >{FOLDER}/paths.conf
nginx -t -q && systemctl reload nginx
timeout 30 sh -c "until python3 /srv/paths/walk.py '$1' >/dev/null 2>&1; do sleep 0.2; done"
"""
START = """
systemd-run --quiet --unit=paths --property=RuntimeDirectory=paths /srv/shop/current/venv/bin/python -m uvicorn \
  --app-dir /srv/paths --uds /run/paths/http.sock paths:app
until test -S /run/paths/http.sock; do sleep 0.1; done
"""

NAMES = ["/a..b", "/...", "/..a", "/a..", "/a.", "/.a", "/.well-known/x", "/a.tar.gz", "/..a/b../.c", "/a/...", "/a/"]
NAMES += [
    "/a%2fb",
    "/a%2Fb/c",
    "/a%2eb",
    "/%61",
    "/a%20b",
    "/a%2520b",
    "/a%252e%252e%252fb",
    "/a%3fb",
    "/a%23b",
    "/a%5cb",
]
NAMES += ["/%C3%A4", "/%e6%97%a5/%E6%9C%AC", "/%F0%9F%98%80", "/a%e2%80%a8b", "/%ef%bc%8f", "/%C2%85", "/%ff"]
NAMES += [
    "/a;v=1.2/b;c=d",
    "/a,b",
    "/a:b@c",
    "/a!$&'()*+=~_-",
    "/a%27b%22c",
    "/x//y",
    "/a%7eb",
    "/internals",
    "/metrics2",
]
NAMES += ["/healthz2", "/a%5c..%5cb", "/%2a"]
QUERIES = ["", "?q=%0a", "?next=../x", "?next=/../..%2fx#%00", "?a=/./&b=%2e%2e/"]
LEGAL = [name + query for name in NAMES for query in QUERIES]


@dataclass
class Answer:
    """What became of a path; `kind` is that of the app's route, empty where Nginx has answered."""

    path: str
    status: int
    kind: str
    body: str
    limit: str


def walk(host, **wish):
    """Ask for made-up paths, or for those that are given."""
    return [Answer(*answer) for answer in loads(on(host, "python3 /srv/paths/walk.py %s", dumps(wish)))]


@pytest.fixture(scope="module", autouse=True)
def _second_app(host):
    on(host, "mkdir -p /srv/paths")
    for file in APP.glob("*.py"):
        run(["docker", "cp", "--quiet", str(file), f"{name_of(host)}:/srv/paths/"], check=True)
    on(host, START)
    on(host, "sh -ec %s site %s", SITE, dumps({"name": PATHS, "paths": ["/"]}))
    yield
    on(
        host,
        f"systemctl stop paths; rm -r {FOLDER}/paths.conf /srv/paths && systemctl reload nginx",
    )


def test_what_nginx_takes_for_public_is_answered_by_no_private_and_no_exempt_route(host):
    answers = walk(host, name=PATHS, seed=14, count=COUNT)
    judged = Counter((answer.kind or "Nginx", answer.status) for answer in answers)
    assert [answer for answer in answers if answer.kind == "private"] == []
    assert [answer for answer in answers if answer.kind == "exempt" and answer.limit] == []
    # Nor does a path that is exempt lead to another route.
    assert [answer for answer in answers if answer.kind == "public" and not answer.limit] == []
    for expected in (("Nginx", 400), ("Nginx", 404), ("public", 200), ("exempt", 200)):
        assert judged[expected] > COUNT / 100, judged


def test_no_path_leads_to_the_metrics_of_the_sample_or_past_its_limit(host):
    answers = walk(host, name=SHOP, seed=41, count=COUNT // 2)
    health = {answer.body for answer in walk(host, name=SHOP, paths=["/healthz", "/readyz"])}
    assert [answer for answer in answers if "# HELP" in answer.body or "# TYPE" in answer.body] == []
    exempt = [answer for answer in answers if answer.status == 200 and answer.body in health]
    assert len(exempt) > COUNT / 200
    assert [answer for answer in exempt if answer.limit] == []


def test_every_legal_path_reaches_the_app_as_it_was_sent(host):
    assert len(LEGAL) == 200
    answers = walk(host, name=PATHS, paths=LEGAL)
    assert [answer for answer in answers if (answer.kind, answer.status) != ("public", 200)] == []
    for answer in answers:
        raw, _, query = answer.path.partition("?")
        assert loads(answer.body) == {"raw": raw, "path": unquote(raw), "query": query.partition("#")[0]}
