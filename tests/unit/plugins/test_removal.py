"""What goes from a host and what stays, on a folder that stands for `/`; accounts are real ones of this machine."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import DeployLock
from ansible_collections.production.fastapi.plugins.module_utils._host.installed import (
    installed_apps,
    installed_sites,
    left_data,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._server import removal as module
from ansible_collections.production.fastapi.plugins.module_utils._server.removal import Removal, RemovalError
from ansible_collections.production.fastapi.tests.unit.plugins.config_tree_helpers import STATE, file, host, put, tree

UNITS = "/etc/systemd/system"
LOADED = """\
shop.socket                loaded active   running Socket
shop@abc.service           loaded active   running Release
shop.mailer-1@abc.service  loaded failed   failed  Process
shop-socket.service        loaded inactive dead    Socket's own
"""


@dataclass(frozen=True)
class FakeHost(Host):
    """A host whose systemd says what a test wants, and notes what it is told."""

    told: list[tuple[str, ...]] = field(default_factory=list)
    stops: bool = True

    def systemctl(self, *arguments: str, timeout: float = 60) -> tuple[bool, str]:
        self.told.append(arguments)
        return self.stops or arguments[0] != "stop", LOADED if arguments[0] == "list-units" else "no"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with the app shop, which has displaced a file, and with the app shop-two."""
    place = host(tmp_path / "root")
    put(place, "etc/systemd/system/shop.socket", "somebody's\n")
    for app in ("shop", "shop-two"):
        wanted = [
            file(f"{UNITS}/{app}{unit}") for unit in (".socket", "@.service", ".mailer-1@.service", ".daily.timer")
        ]
        module.ConfigTree(f"gunicorn-{app}", [*wanted, file(f"/etc/{app}/environment")], root=place).run()
        for link in (f"multi-user.target.wants/{app}@abc.service", f"sockets.target.wants/{app}.socket"):
            path = place / "etc/systemd/system" / link
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(f"../{app}")
        put(place, f"srv/{app}/releases/abc/src/main.py", "")
        put(place, f"srv/{app}/public/releases/abc/a.css", "")
        (place / f"srv/{app}/current").symlink_to("releases/abc")
        put(place, f"srv/{app}/shared/orders", "mine\n")
        put(place, f"{STATE}/{app}/history.jsonl", "{}\n")
        put(place, f"etc/ssl/sites/{app}/self-signed/privkey.pem", "key\n")
        (place / f"etc/ssl/sites/{app}/live").symlink_to("self-signed")
        put(place, f"var/lib/systemd/timers/stamp-{app}.daily.timer", "")
        put(place, f"run/{app}/abc.started", "")
        put(place, f"run/production.fastapi.private/{app}.deploy.lock", "")
    monkeypatch.setattr(Removal, "_run", staticmethod(lambda *command: ran.append(command)))
    monkeypatch.setattr(module, "parse_commands", lambda _option, _commands: [])
    monkeypatch.setattr(module.Account, "own", lambda self, path: ran.append((self.name, str(path))))
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "RAN", ran, raising=False)
    return place


def remove(root: Path, app: str = "shop", **options: bool) -> Removal:
    removal = Removal(FakeHost(root), **options)
    removal.app(app)
    return removal


def of(root: Path, app: str) -> dict[str, object]:
    """What there is of an app, its locks apart."""
    names = {
        f"{app}{end}" for end in ("", ".socket", "@.service", ".mailer-1@.service", ".daily.timer", "@abc.service")
    }
    names |= {f"gunicorn-{app}.json", f"stamp-{app}.daily.timer", f"{app}.deploy.lock"}
    return {path: what for path, what in tree(root).items() if names & set(Path(path).parts)}


def test_all_of_an_app_goes_but_its_data_and_nothing_of_another_one(root):
    other = of(root, "shop-two")
    removal = remove(root)
    assert sorted(of(root, "shop")) == [
        "etc/systemd/system/shop.socket",
        "srv/shop",
        "srv/shop/shared",
        "srv/shop/shared/orders",
        f"{STATE}/shop",
        f"{STATE}/shop/left.json",
    ]
    assert (root / "etc/systemd/system/shop.socket").read_text() == "somebody's\n"
    assert removal.stays == ["/srv/shop/shared with 1 file (5 bytes); -e data=true removes it too"]
    assert of(root, "shop-two") == other
    assert not (root / "run/shop").exists()
    assert not (root / "run/production.fastapi.private/shop.deploy.lock").exists()
    assert (root / "run/production.fastapi.private/shop-two.deploy.lock").exists()


def test_the_data_that_stays_is_given_to_root(root):
    remove(root)
    assert ("root", str(root / "srv/shop/shared")) in module.RAN  # type: ignore[attr-defined]


def test_what_runs_is_stopped_before_its_files_go(root):
    removal = remove(root)
    told = removal.host.told  # type: ignore[attr-defined]
    assert told[0][4:] == (
        *("shop.daily.timer", "shop.mailer-1@*.service", "shop.socket", "shop@*.service", "shop.run-*.service"),
    )
    assert told[1] == ("stop", "shop.socket", "shop@abc.service", "shop.mailer-1@abc.service", "shop-socket.service")
    assert "unit shop.socket (active)" in removal.gone
    assert not any("shop-socket" in phrase for phrase in removal.gone)


def test_units_that_do_not_stop_end_it_before_any_file_goes(root):
    before = tree(root)
    with pytest.raises(RemovalError, match="The units of shop do not stop: no"):
        Removal(FakeHost(root, stops=False)).app("shop")
    assert tree(root) == before


def test_with_the_data_nothing_is_left(root):
    removal = remove(root, data=True)
    assert sorted(of(root, "shop")) == ["etc/systemd/system/shop.socket"]
    assert removal.stays == []
    assert not (root / "srv/shop").exists()


def test_data_that_an_earlier_removal_has_left_goes_later(root):
    remove(root)
    assert list(left_data(root)) == ["shop"]
    assert remove(root).gone == []
    assert remove(root, data=True).gone == ["/srv/shop/shared", f"/{STATE}/shop/left.json"]
    assert left_data(root) == {}
    assert remove(root, data=True).gone == []


def test_an_app_that_came_back_has_left_nothing_until_it_is_removed_again(root):
    put(root, f"{STATE}/shop/left.json", '{"at": "2020-01-01"}')
    assert left_data(root) == {}
    remove(root)
    assert left_data(root)["shop"] > "2020-01-02"


def test_an_empty_folder_is_no_data(root):
    (root / "srv/shop/shared/orders").unlink()
    assert remove(root).stays == []
    assert not (root / "srv/shop").exists()


def test_check_mode_says_the_same_and_changes_nothing(root):
    before = tree(root)
    planned = remove(root, check=True)
    assert tree(root) == before
    assert planned.gone == remove(root).gone


def test_what_somebody_else_has_put_there_stays_and_is_named(root):
    put(root, "srv/shop/backup/dump", "")
    put(root, "etc/shop/notes", "")
    put(root, "etc/ssl/sites/shop/own/cert.pem", "")
    removal = remove(root, data=True)
    assert [phrase.partition(",")[0] for phrase in removal.stays] == [
        "/srv/shop with backup",
        "/etc/shop with notes",
        "/etc/ssl/sites/shop with own",
    ]
    assert (root / "srv/shop/backup/dump").exists()


def test_a_folder_that_the_role_app_has_not_made_is_left_alone(root):
    (root / "srv/shop/current").unlink()
    (root / "srv/shop/releases").rename(root / "srv/shop/mine")
    remove(root, data=True)
    assert (root / "srv/shop/shared/orders").exists()


def test_certificates_that_nginx_still_serves_stay(root):
    put(root, "etc/ssl/sites/certificates.json", json.dumps({"sites": [{"name": "shop", "domains": ["a.example"]}]}))
    assert list(installed_sites(root)) == ["shop"]
    remove(root)
    assert (root / "etc/ssl/sites/shop/live/privkey.pem").exists()


def test_nothing_goes_while_somebody_deploys(root):
    DeployLock("shop", root).take("anna@laptop", "v1", {"host": "laptop"}, 900)
    before = tree(root)
    with pytest.raises(RemovalError, match=r"anna@laptop deploys shop .* break the lock with the playbook lock"):
        remove(root)
    assert tree(root) == before


def test_a_removal_that_was_killed_is_finished_by_the_next(root, monkeypatch):
    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Removal, "_transaction", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(root, data=True)
    assert "shop" in installed_apps(root)
    remove(root, data=True)
    assert sorted(of(root, "shop")) == ["etc/systemd/system/shop.socket"]


@pytest.mark.parametrize(("home", "goes"), [("/srv/shop/shared", True), ("/home/shop", False)])
def test_an_account_goes_if_the_role_app_has_made_it(root, monkeypatch, home, goes):
    accounts = {"shop": SimpleNamespace(pw_name="shop", pw_uid=os.getuid(), pw_gid=0, pw_dir=home)}
    real = pwd.getpwnam
    monkeypatch.setattr(module.pwd, "getpwnam", lambda name: accounts[name] if name != "root" else real(name))
    monkeypatch.setattr(module.Account, "end", lambda self: module.RAN.append(("end", self.name)))  # type: ignore[attr-defined]
    put(root, "var/spool/reports/one", "")
    removal = remove(root)
    assert (("userdel", "shop") in module.RAN) == goes  # type: ignore[attr-defined]
    assert (("end", "shop") in module.RAN) == goes  # type: ignore[attr-defined]
    assert ("user shop" in removal.gone) == goes
    assert any(phrase.startswith("files of the user shop: ") for phrase in removal.stays) == goes


def test_everything_goes_and_what_was_displaced_comes_back(root):
    put(root, "etc/nginx/nginx.conf", "distribution\n")
    before = tree(root)["etc/nginx/nginx.conf"]
    module.ConfigTree("nginx", [file("/etc/nginx/nginx.conf"), file("/etc/nginx/sites/a.conf")], root=root).run()
    put(root, "opt/production.fastapi/uv", "")
    put(root, f"{STATE}/drained/app1", "{}")
    removal = Removal(FakeHost(root), data=True)
    removal.everything()
    left = [path for path in tree(root) if not path.endswith(".wants")]
    assert sorted(path for path in left if (root / path).is_file()) == [
        "etc/nginx/nginx.conf",
        "etc/systemd/system/shop.socket",
    ]
    assert tree(root)["etc/nginx/nginx.conf"] == before
    assert not (root / STATE).exists()
    assert not (root / "etc/ssl/sites").exists()
    assert "/etc/nginx/nginx.conf, and the file that was there before comes back" in removal.gone
    again = Removal(FakeHost(root), data=True)
    again.everything()
    assert again.gone == []
