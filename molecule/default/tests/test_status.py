"""What `status` and `doctor` tell of hosts that are well, and of one that is not."""

import json

import pytest
from inside import host_in
from plays import ROOT, play

NAMES = ("pf-default12", "pf-default13")


def status(**variables):
    return play(playbook=ROOT / "playbooks/status.yml", **variables)


def test_hosts_that_are_well(tmp_path):
    result = status(strict=True, json=str(tmp_path / "status.json"), html=str(tmp_path / "status.html"))
    assert result.returncode == 0, result.output
    assert "2 servers, no problem" in result.output
    report = json.loads((tmp_path / "status.json").read_text())
    for server in report["servers"]:
        state = server["state"]
        assert state["apps"]["shop"]["state"] == "active"
        assert state["apps"]["shop"]["workers"] >= 1
        assert [answer["status"] for answer in state["sites"]["shop"].values()] == [200]
        assert state["sites"]["shop"].popitem()[1]["release"] == state["apps"]["shop"]["release"]
        assert state["certificates"]["shop"]["names"] == ["shop.example.com"]
        assert state["touched"] == []
    page = (tmp_path / "status.html").read_text()
    assert page.count("<rect") == 3 * len(NAMES)
    assert "2 servers, no problem" in page


@pytest.fixture
def broken():
    """A host whose Nginx is stopped and one of whose files somebody has changed."""
    host = host_in(NAMES[1])
    host.check_output("systemctl stop nginx && touch --date='+1 hour' /etc/nginx/nginx.conf")
    yield
    host.check_output(
        "touch /etc/nginx/nginx.conf --reference /etc/nginx/production.fastapi/headers.conf && systemctl start nginx"
    )


def test_a_host_that_is_not_well(broken):
    result = status(strict=True)
    assert result.returncode != 0
    assert f"{NAMES[1]}: nginx does not run (inactive)." in result.text
    assert f"{NAMES[1]}: /etc/nginx/nginx.conf was changed since the run that wrote it" in result.text
    assert f"{NAMES[0]}: nginx" not in result.text


def test_the_doctor_finds_nothing_in_the_way_of_another_run():
    result = play(playbook=ROOT / "playbooks/doctor.yml")
    assert result.returncode == 0, result.output
    assert all(f"{name} (debian-1" in result.text for name in NAMES)


def test_the_doctor_says_what_is_wrong_and_changes_nothing():
    result = play(playbook=ROOT / "playbooks/doctor.yml", gunicorn_workers="many", app_domains=["nowhere.invalid"])
    assert result.returncode != 0
    assert 'gunicorn_workers is "many"; write async' in result.text
    assert "nowhere.invalid does not resolve: add a record" in result.text
    assert set(result.stats("changed").values()) == {0}
