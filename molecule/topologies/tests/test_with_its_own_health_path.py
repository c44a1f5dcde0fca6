"""A FastAPI app whose own health path is its readiness path, with the rate limit that users have, under load."""

import json
import re

import pytest
import yaml
from asking import on
from hello import SITE, live
from load import load
from plays import DEPLOY, ROOT, play

HOST, ADDRESS = "pf-topologies12", "198.18.26.12"
HEALTH = "/api/health"
APP = """
import os
from fastapi import FastAPI, Request, Response

app = FastAPI()
EDITION = {edition!r}

@app.get("/")
async def root() -> dict[str, str]:
    return {{"release": os.environ["PRODUCTION_FASTAPI_RELEASE"], "edition": EDITION}}

@app.post("/")
async def echo(request: Request) -> Response:
    return Response(await request.body())

@app.get("/api/health")
async def health(response: Response) -> dict[str, str]:
    if EDITION == "bad":
        response.status_code = 503
    return {{"status": EDITION}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a playbook with a source of this edition; the receipt, if one was written, comes back beside the result."""
    folder = tmp_path_factory.mktemp("health")
    inventory = folder / "hosts.yml"
    variables = {
        "app_name": "hello",
        "app_domains": [SITE],
        "app_entrypoint": "main:app",
        "app_receipt_folder": str(folder / "receipts"),
        "gunicorn_readiness_path": HEALTH,
        "gunicorn_start_timeout": 15,
        "gunicorn_observe_time": 1,
        "gunicorn_workers": 1,
        # The clients of this test ask as often as they like. The probe of a deploy has an address of its own.
        "nginx_rate_limit_allow": ["127.0.0.1"],
    }
    hosts = {"hosts": {HOST: {"ansible_host": ADDRESS}}}
    inventory.write_text(
        yaml.safe_dump({"all": {"vars": variables}, "load_balancers": hosts, "app_servers": {"hosts": {HOST: {}}}})
    )

    def run(playbook, edition):
        source = folder / edition
        source.mkdir(exist_ok=True)
        (source / "main.py").write_text(APP.format(edition=edition))
        (source / "requirements.txt").write_text("fastapi>=0.115,<1\n")
        before = set(folder.glob("receipts/*.json"))
        result = play(
            playbook=playbook,
            inventory=str(inventory),
            app_source={"folder": str(source)},
            fastapi_inventory="topologies",
        )
        new = set(folder.glob("receipts/*.json")) - before
        return result, [json.loads(receipt.read_text()) for receipt in new]

    return run


def test_site_three_deploys_a_bad_one_and_a_rollback_under_load(debian12, run):
    run(ROOT / "site.yml", "zero")[0].succeeded()
    with load(HOST, SITE, least=201) as clients:
        for edition in ("one", "two", "three"):
            result, receipts = run(DEPLOY, edition)
            result.succeeded()
            assert live([debian12]) == edition
            said = re.search(
                r"hello: \w+ → \w+ on 1 host; ([0-9,]+) requests of the probe for (\S+) .*?, 0 failed", result.text
            )
            assert said, result.text
            assert said[2] == HEALTH
            (receipt,) = receipts
            assert receipt["requests"] > 20, "more than the limit lets through at once"
            assert f"{receipt['requests']:,}" == said[1]
            assert (receipt["failed"], receipt.get("limited", 0)) == (0, 0)
            assert "of the app did" not in result.text
        three = on(debian12, "basename $(readlink /srv/hello/current)").strip()

        result, _receipts = run(DEPLOY, "bad")
        assert result.returncode != 0
        assert re.search(rf"was not ready after 15 s\. Release {three} serves\. .*{HEALTH} answers 503", result.text)
        assert f"{HOST} has {three} live now." in result.text
        assert "is recorded as failed: rollback takes it only by name, with -e insist=true." in result.text
        assert live([debian12]) == "three"

        result = run(ROOT / "playbooks/rollback.yml", "three")[0].succeeded()
        assert live([debian12]) == "two"
        two = on(debian12, "basename $(readlink /srv/hello/current)").strip()
        assert f"{two} is live; {three} was before." in result.text
    assert clients.failed == []
    assert clients.sent > 200
    assert len(clients.seen) == 4
