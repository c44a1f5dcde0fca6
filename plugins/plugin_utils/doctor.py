# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in the way of a first run, a sentence each, with what to do about it."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import address

GROUPS = ("load_balancers", "app_servers", "redis_servers")

Hosts = Mapping[str, Any]
Resolve = Callable[[str], set[str]]

# What SSH and Ansible say, and what to do.
UNREACHABLE = {
    "permission denied": "copy your public key there (`ssh-copy-id`), or set ansible_user and its key",
    "could not resolve": "write its address as ansible_host in the inventory",
    "name or service not known": "write its address as ansible_host in the inventory",
    "host key verification failed": "accept its key once with `ssh`, or remove an old one with `ssh-keygen -R`",
    "timed out": "look at its address, at ansible_port, and at the firewall before it",
    "connection refused": "look at its address and at ansible_port, and whether sshd runs there",
    "no route to host": "look at its address, and whether it is switched on",
}
# The same of sudo. Since 25.10 that of Ubuntu is sudo-rs, whose prompt ansible-core up to 2.21.3 does not know.
NOT_ROOT = {
    "incorrect sudo password": "correct ansible_become_password, or run with --ask-become-pass",
    "missing sudo password": "set ansible_become_password, best in a vault, or run with --ask-become-pass",
    "waiting for privilege escalation prompt": (
        "if its sudo is sudo-rs (`sudo --version`), set ansible_become_exe to the other one, which Ubuntu has as "
        "sudo.ws and Debian as /usr/bin/sudo, or update ansible-core to a version above 2.21.3"
    ),
    "not in the sudoers file": "add its user to the group sudo, or set ansible_user to one that may use sudo",
    "": "add --ask-become-pass, or allow its user to sudo without a password",
}


def inventory_problems(groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What is wrong with the groups of the inventory."""
    for group in ("app_servers", "load_balancers"):
        if not groups.get(group):
            others = [name for name in groups if name not in (*GROUPS, "all", "ungrouped")]
            near = difflib.get_close_matches(group, others, n=1, cutoff=0.6)
            meant = f"; rename the group {near[0]}, if that is it" if near else ""
            yield f"The inventory has no host in the group {group}: write one there{meant}."


def connection_problem(host: str, result: Mapping[str, Any]) -> str:
    """Why a host cannot be reached, and what to do; empty when it can."""
    if result.get("rc") == 0:
        return ""
    said = shown(result.get("msg") or result.get("stderr") or result.get("stdout"))
    fix = next((fix for words, fix in UNREACHABLE.items() if words in said.lower()), "try `ssh` to it by hand")
    return f"{host} cannot be reached ({said[-200:]}): {fix}."


def host_problems(host: str, told: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a host that can be reached.

    `told` has the results of the tasks `connected` and `root`, `preflight`, the sentences of all checks, and what was
    found in the `source` of the app.
    """
    facts = facts_of(str(told["connected"].get("stdout", "")))
    if not facts.get("python"):
        yield f"{host} has no python3, which Ansible needs there: `apt-get install python3`."
    elif tuple(map(int, facts["python"].split("."))) < (3, 11):
        yield f"{host} has Python {facts['python']}; 3.11 or newer is needed, as Debian 12 and Ubuntu 24.04 have."
    yield from root_problems(host, told.get("root", {}))
    refused = told.get("source", {}).get("refused", [])
    # The first of them has ended a task as well.
    others = [each for each in told.get("preflight", ()) if not each.endswith(tuple(refused))]
    yield from (f"{host}: {sentence}" for sentence in [*others, *refused])


def root_problems(host: str, result: Mapping[str, Any]) -> Iterator[str]:
    """Why Ansible cannot become root on a host, and what to set."""
    if not result or "uid=0" in str(result.get("stdout", "")):
        return
    said = shown(result.get("msg") or result.get("stdout"))
    fix = next((fix for words, fix in NOT_ROOT.items() if words in said.lower()), NOT_ROOT[""])
    yield f"{host}: Ansible cannot become root ({said[-200:]}): {fix}."


def shown(message: Any) -> str:
    """A message of Ansible in one line, without what it puts before the cause."""
    return re.sub(r"^(Task failed|): ", "", " ".join(str(message or "no answer").split()))


def facts_of(text: str) -> dict[str, str]:
    """The lines `name=value` of what the first task has printed."""
    return dict(re.findall(r"^(\w+)=(\S+)\r?$", text, re.MULTILINE))


def resolve(name: str) -> set[str]:
    """The addresses of a name; none when it has none."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def domain_notes(groups: Mapping[str, Sequence[str]], hostvars: Hosts, look_up: Resolve = resolve) -> Iterator[str]:
    """The domains that do not lead to a load balancer."""
    wanted = {str(hostvars[host].get("ansible_host", host)) for host in groups.get("load_balancers", ())}
    addresses = {each for name in wanted for each in ({name} if address(name) else look_up(name))}
    domains: dict[str, None] = {}
    for host in groups.get("app_servers", ()):
        given = hostvars[host].get("app_domains", [])
        domains |= dict.fromkeys([given] if isinstance(given, str) else given)
    for domain in domains:
        if address(domain):
            continue
        found = look_up(domain.replace("*.", "www.", 1))
        goal = " and ".join(sorted(addresses)) or "a load balancer"
        if not found:
            yield f"{domain} does not resolve: add a record to its DNS zone that points to {goal}."
        elif not found & addresses:
            yield (
                f"{domain} points to {' and '.join(sorted(found))}, and the load balancers are {goal}: right behind a "
                "CDN or a translated address, else change its DNS record."
            )


def examination(groups: Mapping[str, Sequence[str]], hostvars: Hosts, variable: str) -> dict[str, list[str]]:
    """The `problems`, and the `lines` of all that there is to say."""
    problems, well, hints = list(inventory_problems(groups)), [], []
    for host in dict.fromkeys(host for group in GROUPS for host in groups.get(group, ())):
        told = hostvars[host].get(variable)
        if told is None:  # not in this run
            continue
        away = connection_problem(host, told["connected"])
        found = [away] if away else list(host_problems(host, told))
        problems += found
        hints += told.get("source", {}).get("hints", [])
        if not found:
            facts = facts_of(str(told["connected"]["stdout"]))
            well.append(f"{host} ({facts.get('os', '')}, Python {facts['python']})")
    notes = list(domain_notes(groups, hostvars))
    lines = []
    titles = ("Ready", "Notes", "Problems", "Hints, seen in the source of the app, which can be wrong")
    for title, sentences in zip(titles, (well, notes, problems, dict.fromkeys(hints)), strict=True):
        if sentences:
            lines += [f"{title}:", *(f"  {sentence}" for sentence in sentences), ""]
    return {"problems": problems, "lines": lines[:-1] or ["There is no server in this run."]}
