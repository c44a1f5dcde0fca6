"""Floods of frames over HTTP/2 cost the app and everybody else nothing, and Nginx lets go of who sends them."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import on
from clients import asked, p99, statuses

# In the long form each attack has the host for itself.
ATTACKS = ["all"]
if os.environ.get("LONG"):
    ATTACKS += ["rapid reset", "continuation", "empty continuation", "header bomb", "settings", "ping"]
    ATTACKS += ["empty data", "priority", "no window"]
# What Nginx ends after few frames, and so in the short form too; of others it takes a million that say nothing.
FEW = ("continuation", "header bomb", "priority")


def memory(host):
    """What the workers of Nginx hold, in MiB."""
    listed = on(host, "pgrep -f '^nginx: worker process$' | xargs -I{} grep ^RssAnon: /proc/{}/status")
    return sum(int(line.split()[1]) for line in listed.splitlines()) / 1024


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_flood_of_frames_harms_nobody(host, attack):
    wish = {"source": "127.2.1.1", "seconds": 3, "pause": 0.15}
    alone, before = p99(asked(host, "/limited", **wish)), memory(host)
    flood = json.dumps({"attack": attack, "connections": 4, "seconds": 4})
    with ThreadPoolExecutor() as beside:
        attacked = beside.submit(on, host, "python3 /srv/edge/h2.py %s", flood)
        answers = asked(host, "/limited", **wish | {"source": "127.2.1.2"})
        grown = memory(host) - before
        ends = json.loads(attacked.result())
    print({name: [(each["sent"], each["end"], each["answered"]) for each in many] for name, many in ends.items()})
    assert statuses(answers).keys() == {200}
    # The attackers have most of a machine of two cores; nobody waits for them besides.
    assert p99(answers) < max(3.0, 5 * alone)
    assert grown < 64
    stays = [name for name, many in ends.items() if "open" in {each["end"] for each in many}]
    assert [name for name in stays if name in FEW or attack != "all"] == []
    assert max(each["answered"] for many in ends.values() for each in many) <= 1000
