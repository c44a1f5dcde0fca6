"""Whatever goes wrong while Nginx is changed, the sites answer every request, and a reboot brings them back.

A play of both hosts costs little more than one of a single host, so each goes wrong on both.
"""

import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest
from asking import name_of, on
from clients import ask
from load import CALM, CLOSED, load
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
def serving(hosts, slower=1):
    """The sites answer every request until the block ends."""
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name_of(host), SITE, slower=slower, least=21)) for host in hosts]
        yield
    for result in loads:
        assert result.sent > 20
        assert [problem for problem in result.failed if not CLOSED.search(problem)] == []


def converge(**variables):
    return play("--skip-tags", "app", playbook=CONVERGE, **variables)


def each(hosts, number):
    """What the recap says when it has this number for all hosts."""
    return {name_of(host): number for host in hosts}


def told(result, host):
    """What the run has said of a host's failure, in one line."""
    _, _, text = result.text.partition(f"fatal: [{name_of(host)}]: ")
    return text.partition(" fatal: [")[0]


def start_anew(hosts):
    """Nginx starts from what is on the disk, as after a reboot."""
    for host in hosts:
        on(host, "systemctl restart nginx")
        assert ask(host, "/").status == 200


@pytest.mark.parametrize("case", BROKEN)
def test_what_nginx_does_not_take_is_refused(hosts, case):
    variables, sentence = BROKEN[case]
    sums = "find /etc/nginx -type f -exec sha256sum {} +"
    before = [on(host, sums) for host in hosts]
    with serving(hosts, CALM):
        result = converge(**variables)
    start_anew(hosts)
    assert result.stats("failed") == each(hosts, 1)
    for host in hosts:
        assert sentence in told(result, host)
    assert [on(host, sums) for host in hosts] == before


def test_a_full_disk_is_refused(hosts):
    for host in hosts:
        on(host, "mkdir -p /root/nginx && cp -a /etc/nginx/. /root/nginx/")
        on(host, "mount -t tmpfs -o size=512k tmpfs /etc/nginx && cp -a /root/nginx/. /etc/nginx/")
        on(host, "dd if=/dev/zero of=/etc/nginx/filler bs=4k 2>/dev/null || true")
    try:
        with serving(hosts, CALM):
            result = converge(nginx_keepalive_timeout=66)
            assert result.stats("failed") == each(hosts, 1)
            for host in hosts:
                assert "No space left on device" in told(result, host)
                on(host, "nginx -t -q")
        start_anew(hosts)
    finally:
        for host in hosts:
            on(host, "umount /etc/nginx")
    for host in hosts:
        on(host, "nginx -t -q")


# Programs that config_tree runs, in place of which these end it, as an OOM killer or a lost power would.
KILLED = {
    "while the new files are tested": ("nginx", "kill -KILL $PPID"),
    "before the reload": ("systemctl", 'case $* in reload*) kill -KILL $PPID;; *) exec /bin/systemctl "$@";; esac'),
    "after the reload": ("systemctl", '/bin/systemctl "$@"; case $* in reload*) kill -KILL $PPID;; esac'),
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_play_that_is_killed_leaves_a_site_that_the_next_one_completes(hosts, moment):
    program, text = KILLED[moment]
    replace = f"printf '#!/bin/sh\\n%%s\\n' %s >/usr/local/sbin/{program} && chmod 755 /usr/local/sbin/{program}"
    with serving(hosts):
        for host in hosts:
            on(host, replace, text)
        result = converge(nginx_keepalive_timeout=70)
        for host in hosts:
            on(host, f"rm /usr/local/sbin/{program}")
        assert result.stats("failed") == each(hosts, 1)
    # As after a reboot.
    for host in hosts:
        on(host, "nginx -t -q && systemctl restart nginx")
    with serving(hosts):
        converge(nginx_keepalive_timeout=71).succeeded()
    for host in hosts:
        assert "keepalive_timeout 71s;" in host.file("/etc/nginx/production.fastapi/server.conf").content_string
    assert converge().succeeded().stats("changed") == each(hosts, 1)


def test_an_exporter_that_is_not_wanted_any_more_leaves_nothing(hosts):
    assert converge().succeeded().stats("changed") == each(hosts, 0)
    assert converge(nginx_exporter=False).succeeded().stats("changed") == each(hosts, 1)
    state = "systemctl show --property=UnitFileState,ActiveState,DropInPaths --value prometheus-nginx-exporter"
    for host in hosts:
        assert sorted(on(host, state).split())[-2:] == ["disabled", "inactive"]
        assert "production.fastapi" not in on(host, state)


def test_a_reboot_brings_it_back(hosts):
    names = [name_of(host) for host in hosts]
    subprocess.run(["docker", "restart", *names], check=True, capture_output=True, timeout=120)
    for host in hosts:
        for _ in range(100):
            if ask(host, "/").status == 200:
                break
            time.sleep(0.3)
        assert ask(host, "/").status == 200
        assert on(host, "systemctl is-enabled nginx").strip() == "enabled"
