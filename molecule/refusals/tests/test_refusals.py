"""Bad input: one clear sentence, and nothing on any host has changed."""

import pytest
import testinfra
from plays import play

# What a run may leave behind even when it ends in an error: the package manager's lists and the caches of downloads.
TREE = (
    "find /etc /srv /opt /usr/local /var/lib -xdev -path /var/lib/apt -prune -o -path /var/lib/systemd -prune "
    "-o -path '/srv/*/cache' -prune -o -printf '%p %y %m %u %g %s %l %T@\\n' | sort"
)

PROVISIONED, BARE = "pf-debian12", "pf-debian13"


@pytest.fixture(scope="module")
def hosts():
    return {name: testinfra.get_host(f"docker://{name}") for name in (PROVISIONED, BARE)}


def tree(host):
    listing = host.run(TREE)
    assert listing.rc == 0, listing.stderr
    return listing.stdout.splitlines()


def refuse(hosts, sentence, *, limit=None, **variables):
    """Run site.yml and expect the sentence, a failure, and hosts that are as they were."""
    before = {name: tree(host) for name, host in hosts.items()}
    result = play(*(["--limit", limit] if limit else []), **variables)
    assert result.returncode != 0, result.output
    assert sentence in result.text, result.output
    assert {name: tree(host) for name, host in hosts.items()} == before


REFUSED = {}


@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_that_cannot_work_is_refused_on_both_hosts(hosts, case):
    variables, sentence = REFUSED[case]
    refuse(hosts, sentence, **variables)
