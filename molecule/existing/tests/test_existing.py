"""Sites that are there already answer as before: while ours come, beside them, after a restart, and when ours leave."""

import json
import os
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from asking import ask_json, on
from hello import make_source
from inside import host_in
from plays import ROOT, SITE, play

NAMES = ("pf-existing12", "pf-existing13")
CHANGED = "pf-existing-changed"
HERE = Path(__file__).parent
ASK = "/root/theirs.py"
DOCTOR = ROOT / "playbooks/doctor.yml"
LEAVE = ROOT / "molecule/existing/leave.yml"
REMOVE = ROOT / "playbooks/remove.yml"

# Every file with its digest, everything with its owner and mode.
TREE = "find /etc/nginx -printf '%p %y %m %u %g %l\\n' | sort; find /etc/nginx -type f -exec sha256sum {} + | sort"
# All that a run could have changed. Left out is what logging in and running Ansible change by themselves.
SYSTEM = (
    "find /etc /opt /srv /usr/local /var/lib /var/www -xdev '(' -path /var/lib/apt -o -path /var/lib/systemd "
    "-o -path /var/lib/sudo ')' -prune -o -type d -printf '%p %m %u %g\\n' -o -printf '%p %m %u %g %s %T@ %l\\n' | sort"
)


def host_of(name):
    return host_in(name)


def prepare(name):
    """Make the sites of others on a host, and return it."""
    script = (HERE / "theirs.sh").read_text()
    command = ["docker", "exec", "--interactive", name, "sh", "-s"]
    subprocess.run(command, input=script, text=True, check=True, capture_output=True)
    subprocess.run(["docker", "cp", "--quiet", str(HERE / "theirs.py"), f"{name}:{ASK}"], check=True)
    return host_of(name)


def answers(host):
    return json.loads(on(host, f"python3 {ASK}"))


@contextmanager
def load(name, expected):
    """Ask the sites of others for as long as the block lasts; every answer has to be the expected one."""
    command = ["docker", "exec", "--interactive", name, "python3", ASK, json.dumps(expected)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield
        finally:
            output, _ = client.communicate(timeout=60)
    result = json.loads(output)
    print(f"{name}: {sum(result['sent'])} answers of the sites of others, {len(result['failed'])} failed")
    assert result["failed"] == []
    assert min(result["sent"]) > 4


@pytest.fixture(scope="module")
def theirs():
    """The hosts with what their sites answered and what /etc/nginx was before we came, by name."""
    hosts = [prepare(name) for name in NAMES]
    return {name: (host, answers(host), on(host, TREE)) for name, host in zip(NAMES, hosts, strict=True)}


@contextmanager
def unharmed(theirs):
    """The sites of others answer as before, all the time."""
    with ExitStack() as stack:
        for name, (_, before, _) in theirs.items():
            stack.enter_context(load(name, before))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "hello"
    make_source(HERE.parent / "app", folder)
    (folder / "edition.py").write_text('NAME = "one"\n')
    return {"folder": str(folder)}


def limit(*names):
    """These hosts, and the controller, on which `doctor` tells what it has found."""
    return ",".join([*names, "localhost"])


def on_both(*arguments, playbook=SITE, **variables):
    return play("--limit", limit(*NAMES), *arguments, playbook=playbook, **variables)


def test_the_sites_are_what_this_scenario_is_about(theirs):
    for name, (_, before, _) in theirs.items():
        assert [answer[1] for answer in before[:8]] == [200, 404, 302, 200, 400, 200, 200, 502], name
        assert before[3] == before[0], "the first site answers for names that no site has"
        assert before[6][3] == "close theirs hello\n"
    shown = subprocess.run(
        ["ansible", "-i", os.environ["MOLECULE_INVENTORY_FILE"], ",".join(NAMES), "-b", "-m", "raw", "-a", "umask"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert shown.count("0027") == 2, shown


def test_doctor_and_site_change_none_of_their_answers(theirs, source):
    with unharmed(theirs):
        doctor = on_both(playbook=DOCTOR, app_source=source)
        assert doctor.returncode == 0, doctor.output
        first = on_both(app_source=source).succeeded()
        again = on_both(app_source=source).succeeded()
    assert all(first.stats("changed").values())
    assert set(again.stats("changed").values()) == {0}
    for host, before, _ in theirs.values():
        assert answers(host) == before
        assert ask_json(host, "hello.example.com", "/")["edition"] == "one"


def test_they_keep_their_logs_and_we_ours(theirs):
    for host, _, _ in theirs.values():
        assert "hello.example.com" not in on(host, "cat /var/log/nginx/access.log /var/log/nginx/theirs.log")
        on(host, "nginx -s reopen")
        lines = on(host, "cat /var/log/nginx/production.fastapi.log").splitlines()
        assert {json.loads(line)["host"] for line in lines} == {"hello.example.com"}


def test_a_restart_changes_none_of_their_answers(theirs):
    for host, before, _ in theirs.values():
        on(host, "systemctl restart nginx")
        assert answers(host) == before
        assert ask_json(host, "hello.example.com", "/")["edition"] == "one"


def test_a_domain_that_a_site_of_theirs_has_is_refused_by_line(theirs, source):
    trees = {name: on(host, TREE) for name, (host, _, _) in theirs.items()}
    result = on_both(app_source=source, app_domains=["hello.example.com", "secure.example.org"])
    assert result.returncode != 0
    assert "/etc/nginx/conf.d/secure.conf, line 12: secure.example.org is a domain of the site hello" in result.text
    for name, (host, before, _) in theirs.items():
        assert (on(host, TREE), answers(host)) == (trees[name], before)


def test_without_us_everything_is_as_it_was(theirs):
    with unharmed(theirs):
        on_both(playbook=LEAVE).succeeded()
    for host, before, tree in theirs.values():
        assert on(host, TREE) == tree
        assert answers(host) == before


def test_an_nginx_conf_of_their_own_is_refused_by_line(source):
    host = prepare(CHANGED)
    on(host, "sed -i 's/^\\tgzip on;/&\\n\\tkeepalive_timeout 7;/' /etc/nginx/nginx.conf")
    on(host, "nginx -t -q && systemctl reload nginx")
    before, system = answers(host), on(host, SYSTEM)
    line = on(host, "grep -n keepalive_timeout /etc/nginx/nginx.conf").partition(":")[0]
    for playbook in (DOCTOR, SITE):
        result = play("--limit", limit(CHANGED), playbook=playbook, app_source=source)
        assert result.returncode != 0
        assert (
            f"/etc/nginx/nginx.conf, line {line}: `keepalive_timeout 7` is not in the package's nginx.conf"
            in result.text
        )
        assert set(result.stats("changed").values()) <= {0}
    assert on(host, SYSTEM) == system
    assert answers(host) == before


def test_with_drop_ours_alone_are_served_and_everything_comes_back(source):
    """On the host that was refused: with `drop` its nginx.conf, snippets and sites only have to be kept."""
    host = host_of(CHANGED)
    before, tree = answers(host), on(host, TREE)
    for changed in (True, False):
        result = play("--limit", CHANGED, app_source=source, nginx_existing_sites="drop").succeeded()
        assert (result.stats("changed")[CHANGED] > 0) is changed
    assert ask_json(host, "hello.example.com", "/")["edition"] == "one"
    asked = "curl --silent --insecure --max-time 20 --resolve '*:443:127.0.0.1' --resolve '*:80:127.0.0.1'"
    for address in ("http://legacy.example.org/", "http://nobody.example.net/", "https://secure.example.org/"):
        assert on(host, f"{asked} {address} || true") == ""
    play("--limit", CHANGED, playbook=REMOVE, everything=True, data=True).succeeded()
    assert on(host, TREE) == tree
    assert answers(host) == before
