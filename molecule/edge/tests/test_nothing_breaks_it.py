"""Whatever goes wrong while Nginx is changed, the site answers every request, and a reboot brings it back."""

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


def starts_anew(host):
    """Nginx starts from what is on the disk, as after a reboot."""
    on(host, "systemctl restart nginx")
    assert ask(host, "/").status == 200


@pytest.mark.parametrize("case", BROKEN)
def test_what_nginx_does_not_take_is_refused(host, case):
    variables, sentence = BROKEN[case]
    before = on(host, "find /etc/nginx -type f -exec sha256sum {} +")
    with serving(host):
        result = converge(host, **variables)
    starts_anew(host)
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
        starts_anew(host)
    finally:
        on(host, "umount /etc/nginx")
    on(host, "nginx -t -q")


# Programs that config_tree runs, in place of which these end it, as an OOM killer or a lost power would.
KILLED = {
    "while the new files are tested": ("nginx", "kill -KILL $PPID"),
    "before the reload": ("systemctl", 'case $* in reload*) kill -KILL $PPID;; *) exec /bin/systemctl "$@";; esac'),
    "after the reload": ("systemctl", '/bin/systemctl "$@"; case $* in reload*) kill -KILL $PPID;; esac'),
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_play_that_is_killed_leaves_a_site_that_the_next_one_completes(host, moment):
    program, text = KILLED[moment]
    with serving(host):
        on(
            host,
            f"printf '#!/bin/sh\\n%%s\\n' %s >/usr/local/sbin/{program} && chmod 755 /usr/local/sbin/{program}",
            text,
        )
        result = converge(host, nginx_keepalive_timeout=70)
        on(host, f"rm /usr/local/sbin/{program}")
        assert result.returncode != 0
    # As after a reboot.
    on(host, "nginx -t -q && systemctl restart nginx")
    with serving(host):
        converge(host, nginx_keepalive_timeout=71).succeeded()
    assert "keepalive_timeout 71s;" in host.file("/etc/nginx/production.fastapi/server.conf").content_string
    assert converge(host).succeeded().stats("changed") == {name_of(host): 1}


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
