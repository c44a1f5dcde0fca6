"""One of two apps leaves under load on the other, then everything. The order of the tests is part of it."""

import json
from contextlib import ExitStack

import pytest
from asking import ask, on
from hello import NAMES, ONE
from load import CLOSED, load
from plays import ROOT, play

REMOVE, STATUS = ROOT / "playbooks" / "remove.yml", ROOT / "playbooks" / "status.yml"
# What the roles may touch on a host, by content, and the accounts; that packages start with the host is theirs.
FOLDERS = "/etc/nginx /etc/redis /etc/systemd/system /etc/ssl /opt /srv"
SNAPSHOT = f"""
find {FOLDERS} -type f -exec sha256sum {{}} + | sort -k 2
find {FOLDERS} ! -type f ! -path '*.wants*' ! -name redis.service -printf '%p %l %m %U %G\\n' | sort
cut -d: -f1 /etc/passwd /etc/group
ls /var/lib
"""


def remains(host, name):
    """Everything on a host that has the name of an app, or belongs to its accounts or to nobody."""
    found = on(
        host,
        "find / -xdev ( -path /proc -o -path /sys -o -path /dev ) -prune -o"
        " ( -regex %s -o -nouser -o -nogroup ) -print".replace("(", "'('").replace(")", "')'"),
        rf".*/\(stamp-\)?{name}_?\([.@-][^/]*\)?",
    ).split()
    found += on(host, "systemctl list-units --all --plain --no-legend --full '%s*' | cut -d' ' -f1", name).split()
    found += on(host, "systemctl list-unit-files --plain --no-legend '%s*' | cut -d' ' -f1", name).split()
    found += on(host, "grep -h '^%s_\\?:' /etc/passwd /etc/group /etc/shadow || true", name).split()
    found += on(host, "find /run -name '*%s*'", name).split()
    return found


@pytest.fixture(scope="session")
def before(hosts):
    return [on(host, SNAPSHOT) for host in hosts]


def test_two_apps_are_there(hosts, before, inventory):
    play(inventory=inventory("shop", "blog")).succeeded()
    for host in hosts:
        on(host, "su -s /bin/sh blog -c 'echo mine >/srv/blog/shared/orders'")
        assert ask(host, "blog.example.com")[0] == 200


def test_site_and_status_name_an_app_that_has_left_the_inventory(hosts, inventory, tmp_path):
    sentence = "pf-remove12 still has the app blog, which is not in the inventory for it any more"
    alone = inventory("shop")
    run = play(*ONE, inventory=alone).succeeded()
    assert sentence in run.text
    report = tmp_path / "status.json"
    told = play(*ONE, playbook=STATUS, inventory=alone, json=str(report)).succeeded()
    assert sentence in told.text
    assert any(sentence in note for note in json.loads(report.read_text())["notes"])
    # Its site has left Nginx with the inventory, and comes back with it.
    both = inventory("shop", "blog")
    assert "still has the app" not in play(*ONE, inventory=both).succeeded().text
    assert ask(hosts[0], "blog.example.com")[0] == 200


def test_a_name_that_is_mistyped_says_what_there_is(inventory):
    run = play(*ONE, playbook=REMOVE, inventory=inventory("shop", "blog"), app="blgo")
    assert run.returncode != 0
    assert 'app is "blgo", and no server of this inventory has it; there are blog (' in run.text
    assert set(run.stats("changed").values()) == {0}


def test_check_mode_says_what_would_go_and_changes_nothing(hosts, inventory):
    state = [on(host, SNAPSHOT) for host in hosts]
    run = play("--check", playbook=REMOVE, inventory=inventory("shop", "blog"), app="blog").succeeded()
    for phrase in (
        "would go: unit blog.socket (active)",
        "would go: user blog_",
        "would go: /srv/blog/releases",
        "would go: /etc/systemd/system/blog.cleanup.timer",
        "would go: /etc/ssl/sites/blog/self-signed",
        "stays: /srv/blog/shared with ",
    ):
        assert phrase in run.text, phrase
    assert [on(host, SNAPSHOT) for host in hosts] == state
    assert ask(hosts[0], "blog.example.com")[0] == 200


def test_an_app_leaves_under_load_on_the_other_one(hosts, inventory):
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, "shop.example.com")) for name in NAMES]
        run = play(playbook=REMOVE, inventory=inventory("shop", "blog"), app="blog").succeeded()
    assert "stays: /srv/blog/shared with 1 file (5 bytes)" in run.text, run.text
    for result in loads:
        assert result.sent > 50
        assert [line for line in result.failed if not CLOSED.search(line)] == []
    for host in hosts:
        left = [path for path in remains(host, "blog") if not path.startswith("/srv/blog")]
        assert left == ["/var/lib/production.fastapi/blog"]
        assert on(host, "find /srv/blog ! -user root -o ! -group root") == ""
        assert on(host, "ls /srv/blog").split() == ["shared"]
        assert on(host, "cat /srv/blog/shared/orders") == "mine\n"
        assert on(host, "systemctl is-failed --quiet 'blog*' || echo none") == "none\n"


def test_the_second_time_changes_nothing(inventory):
    run = play(*ONE, playbook=REMOVE, inventory=inventory("shop", "blog"), app="blog").succeeded()
    assert set(run.stats("changed").values()) == {0}
    assert "stays: /srv/blog/shared with 1 file (5 bytes)" in run.text


def test_the_next_run_without_it_changes_nothing(inventory, tmp_path):
    alone = inventory("shop")
    run = play(inventory=alone).succeeded()
    assert set(run.stats("changed").values()) == {0}, run.output
    assert "still has" not in run.text
    assert "/srv/blog/shared is what blog has left" in play(*ONE, playbook=STATUS, inventory=alone).succeeded().text


def test_an_app_that_comes_back_has_its_data_again(hosts, inventory):
    play(inventory=inventory("shop", "blog")).succeeded()
    for host in hosts:
        assert on(host, "su -s /bin/sh blog -c 'cat /srv/blog/shared/orders; echo more >>/srv/blog/shared/orders'")


def test_the_data_goes_where_it_is_asked_for(hosts, inventory):
    play(playbook=REMOVE, inventory=inventory("shop"), app="blog", data=True).succeeded()
    for host in hosts:
        assert remains(host, "blog") == []
    again = play(*ONE, playbook=REMOVE, inventory=inventory("shop"), app="blog", data=True).succeeded()
    assert set(again.stats("changed").values()) == {0}
    assert "nothing of it is on pf-remove12; there are shop (" in again.text


def test_everything_leaves_and_what_was_displaced_comes_back(hosts, before, inventory):
    alone = inventory("shop")
    check = play("--check", *ONE, playbook=REMOVE, inventory=alone, everything=True, data=True).succeeded()
    assert "would go: /etc/redis/redis.conf, and the file that was there before comes back" in check.text
    play(playbook=REMOVE, inventory=alone, everything=True, data=True).succeeded()
    for host, was in zip(hosts, before, strict=True):
        assert on(host, SNAPSHOT).splitlines() == was.splitlines()
        assert remains(host, "shop") == []
        assert on(host, "systemctl list-units --state=failed --plain --no-legend") == ""
        assert on(host, "nginx -t 2>&1; systemctl is-active redis-server").endswith("active\n")
    again = play(*ONE, playbook=REMOVE, inventory=alone, everything=True, data=True).succeeded()
    assert set(again.stats("changed").values()) == {0}
