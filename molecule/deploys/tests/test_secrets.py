"""An app that prints all its secrets shows them only to root and to itself; all releases of the scenario do."""

import json
import re

import pytest
from asking import on
from hello import ONE
from planted import SECRETS, TALKATIVE
from plays import ROOT, play

LEAKING = "import os; print(dict(os.environ)); raise SystemExit(os.environ['TOKEN'])"


def book(name, **variables):
    # What is printed of a host is the same on both Debians; the output of all deploys is searched too.
    return play(*TALKATIVE, *ONE, playbook=ROOT / "playbooks" / f"{name}.yml", **variables)


@pytest.mark.parametrize(
    ("name", "variables", "shown"),
    [
        ("logs", {"lines": 2000}, r"connecting with the password \*{8}"),
        ("exec", {"command": f'python -c "{LEAKING}"'}, r"'TOKEN': '\*{8}'"),
        ("status", {}, "hello"),
        ("releases", {}, "hello|live"),
        ("doctor", {}, "hello|DOCTOR|doctor"),
    ],
)
def test_what_operators_are_shown(hosts, name, variables, shown):
    output = book(name, **variables).output
    assert re.search(shown, output), output
    assert not re.search(SECRETS, output)


def test_what_others_on_the_host_can_read(hosts):
    folders = "/etc /srv /var /run /tmp /usr/local"
    # Matches them, and not the command line that it is in.
    sought = re.sub(r"\b(\w)", r"[\1]", SECRETS)
    readable = f"find {folders} -xdev -type f -perm -o=r -exec grep -lE '{sought}' {{}} + 2>/dev/null || true"
    for host in hosts:
        assert on(host, f"grep -cE '{sought}' /etc/hello/environment").strip() == "2"
        assert on(host, "setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c %s", readable).split() == []
        assert on(host, f"cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -E '{sought}' || true") == ""


def test_the_history_and_the_receipts(hosts, receipts):
    for host in hosts:
        assert not re.search(SECRETS, on(host, "cat /var/lib/production.fastapi/hello/history.jsonl"))
    files = [file for file in receipts.rglob("*") if file.is_file()]
    assert [json.loads(file.read_text())["app"] for file in files if file.suffix == ".json"]
    assert not [file for file in files if re.search(SECRETS, file.read_text())]
