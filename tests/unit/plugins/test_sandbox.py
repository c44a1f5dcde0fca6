"""The sandboxes: of a release, with one owner for its lines, and of what builds one."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.filter.sandbox import sandbox
from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import (
    LEAST,
    additions,
    build_sandbox,
    service_sandbox,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.plugin_utils import unit_sandbox

SHOP = Path("/srv/shop")
PLACE = Place("shop", SHOP, SHOP / "releases" / "one", Account("shop_", 990, 990))

NGINX = [
    dict(zip(("shared", "reads_homes", "reads_tmp", "schedules"), each, strict=True))
    for each in itertools.product([False, True], repeat=4)
]
SANDBOXES = {
    "release": service_sandbox(["/srv/shop/shared", "/var/spool/shop"]),
    "build": build_sandbox(),
    "standby": unit_sandbox.standby(),
    "trigger": unit_sandbox.trigger(),
    "sentinel": unit_sandbox.sentinel(),
    "keepalived": unit_sandbox.keepalived(),
    "exporter": unit_sandbox.exporter(),
    "certificates": unit_sandbox.certificates(shared=False),
    "certificates beside others": unit_sandbox.certificates(shared=True),
} | {f"nginx {each}": unit_sandbox.nginx(**each) for each in NGINX}


@pytest.mark.parametrize("name", SANDBOXES)
def test_a_sandbox_has_the_least_and_says_nothing_twice(name: str) -> None:
    lines = SANDBOXES[name]
    assert set(LEAST) <= set(lines)
    # The first list decides whether the filter names what is allowed or what is refused.
    assert next(line for line in lines if line.startswith("SystemCallFilter=")) == "SystemCallFilter=@system-service"
    adding = {"SystemCallFilter", "ReadWritePaths", "BindPaths", "BindReadOnlyPaths"}
    settings = Counter(line.partition("=")[0] for line in lines)
    assert [setting for setting, times in settings.items() if times > 1 and setting not in adding] == []
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("name", SANDBOXES)
def test_only_what_needs_them_keeps_capabilities(name: str) -> None:
    (rights,) = [line for line in SANDBOXES[name] if line.startswith("CapabilityBoundingSet=")]
    assert (rights == "CapabilityBoundingSet=") is not name.startswith(("nginx", "certificates", "keepalived"))


def test_an_addition_to_the_unit_is_part_of_the_sandbox_and_of_nothing_else() -> None:
    extra = "ReadWritePaths=/data\n# why\nExecStartPre=/bin/true\nUser=root\n[Unit]\nAfter=x\n[Service]\nMemoryMax=1G\n"
    assert additions(extra) == ["ReadWritePaths=/data", "MemoryMax=1G"]
    assert sandbox(["/srv/shop/shared"], extra=extra) == [
        *service_sandbox(["/srv/shop/shared"]),
        "ReadWritePaths=/data",
        "MemoryMax=1G",
    ]


@pytest.mark.parametrize("phase", ["fetching", "unpacking", "building", "compiling"])
def test_no_unit_of_a_build_sees_more_than_it_needs(phase: str, tmp_path: Path) -> None:
    confinement = {
        "fetching": lambda: PLACE.fetching(tmp_path, Path("/run/fetch"), []),
        "unpacking": lambda: PLACE.unpacking([Path("/opt/uv")]),
        "building": PLACE.building,
        "compiling": PLACE.compiling,
    }[phase]()
    lines = confinement.lines
    assert confinement.account.name == "shop_"
    for line in ("ProtectSystem=strict", "KillMode=control-group", "NoNewPrivileges=yes", "CapabilityBoundingSet="):
        assert line in lines
    assert "TemporaryFileSystem=/srv:ro /run:ro /dev/shm:mode=1777" in lines
    shown = " ".join(line for line in lines if line.startswith("Bind"))
    assert "shared" not in shown
    assert "/etc" not in shown
    # Code of packages runs in one phase alone, and that has neither a cache that lasts nor a secret.
    assert ("NoExecPaths=/" in lines) is (phase == "unpacking")
    assert (f"{SHOP}/build/release/cache" in shown or f"{SHOP}/build/release:" in shown) is (phase == "unpacking")
    assert ("/run/fetch" in shown) is (phase == "fetching")
    assert ("bytecode" in shown) is (phase == "compiling")
    assert (f"BindReadOnlyPaths={SHOP}/releases/one/src" in shown) is (phase == "compiling")
    # The folder of a finished release is closed to who builds, so a unit is shown what is in it.
    assert f"BindReadOnlyPaths={SHOP}/releases/one:" not in shown
