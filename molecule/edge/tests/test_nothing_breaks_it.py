"""Whatever goes wrong while Nginx is changed, the site answers every request, and a reboot brings it back."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
import testinfra
from asking import name_of, on
from clients import ask
from load import CLOSED, load
from plays import ROOT, play

CONVERGE = ROOT / "molecule/edge/converge.yml"
SITE = "edge.example.com"

BROKEN = {
    "a snippet that opens a block": ({"nginx_main_extra_config": "http {"}, "Nginx refuses this configuration"),
    "a certificate that is missing": (
        {"nginx_http_extra_config": "ssl_certificate /nowhere.pem; ssl_certificate_key /nowhere.pem;"},
        "/nowhere.pem",
    ),
}


@contextmanager
def serving(host):
    """The site answers every request until the block ends."""
    with load(name_of(host), SITE) as result:
        yield
    assert result.sent > 20
    assert [problem for problem in result.failed if not CLOSED.search(problem)] == []


def converge(host, **variables):
    return play("--limit", name_of(host), "--skip-tags", "app", playbook=CONVERGE, **variables)


@pytest.mark.parametrize("case", BROKEN)
def test_what_nginx_does_not_take_is_refused(host, case):
    variables, sentence = BROKEN[case]
    before = on(host, "find /etc/nginx -type f -exec sha256sum {} +")
    with serving(host):
        result = converge(host, **variables)
    assert result.returncode != 0
    assert sentence in result.text
    assert on(host, "find /etc/nginx -type f -exec sha256sum {} +") == before


def test_a_full_disk_is_refused(host):
    on(host, "mkdir -p /root/nginx && cp -a /etc/nginx/. /root/nginx/")
    on(host, "mount -t tmpfs -o size=512k tmpfs /etc/nginx && cp -a /root/nginx/. /etc/nginx/")
    on(host, "dd if=/dev/zero of=/etc/nginx/filler bs=4k 2>/dev/null || true")
    try:
        with serving(host):
            result = converge(host, nginx_keepalive_timeout=66)
            assert result.returncode != 0
            assert "No space left on device" in result.text
            on(host, "nginx -t -q")
    finally:
        on(host, "umount /etc/nginx")
    on(host, "nginx -t -q")


def test_a_play_that_is_killed_at_any_moment_leaves_a_site_that_the_next_one_completes(host):
    command = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], str(CONVERGE)]
    command += ["--limit", name_of(host), "--skip-tags", "app"]
    with serving(host):
        for number, seconds in enumerate((2.5, 4.0, 5.5)):
            variables = ["--extra-vars", f"nginx_keepalive_timeout={70 + number}"]
            with subprocess.Popen(
                [*command, *variables], cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
            ) as run:
                time.sleep(seconds)
                os.killpg(run.pid, signal.SIGKILL)
            on(host, "pkill -KILL -f [A]nsiballZ_config_tree || true")
            assert ask(host, "/").status == 200
            on(host, "nginx -t -q")
        assert converge(host).returncode == 0
    assert "keepalive_timeout 65s;" in host.file("/etc/nginx/nginx.conf").content_string


def test_an_exporter_that_is_not_wanted_any_more_leaves_nothing(host):
    assert converge(host).succeeded().stats("changed") == {name_of(host): 0}
    assert converge(host, nginx_exporter=False).succeeded().stats("changed") == {name_of(host): 1}
    state = "systemctl show --property=UnitFileState,ActiveState,DropInPaths --value prometheus-nginx-exporter"
    assert sorted(on(host, state).split())[-2:] == ["disabled", "inactive"]
    assert "production.fastapi" not in on(host, state)


def test_a_reboot_brings_it_back(host):
    name = name_of(host)
    subprocess.run(["docker", "restart", name], check=True, capture_output=True, timeout=60)
    back = testinfra.get_host(f"docker://{name}")
    for _ in range(100):
        if ask(back, "/").status == 200:
            break
        time.sleep(0.3)
    assert ask(back, "/").status == 200
    assert on(back, "systemctl is-enabled nginx").strip() == "enabled"
