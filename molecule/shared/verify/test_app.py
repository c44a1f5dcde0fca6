"""What the role app leaves on a host: a complete release of root's, and its secrets for nobody else."""

import json
import re
from pathlib import Path

import pytest


@pytest.fixture
def name(host):
    return host.ansible.get_variables().get("app_name", "shop")


@pytest.fixture
def releases(host, name):
    """What each complete release says of itself."""
    found = host.check_output(f"cat /srv/{name}/releases/*/release.json")
    return json.loads("[" + found.replace("}\n{", "},{") + "]")


def test_every_release_is_complete(host, name, releases):
    folders = host.file(f"/srv/{name}/releases").listdir()
    assert sorted(release["name"] for release in releases) == sorted(folders)
    assert host.run(f"ls /srv/{name}/releases/*/release.json.building").rc != 0


# The table in docs/architecture.md, "Who owns what": path, owner, group, mode; NAME is the app.
DOCUMENT = Path(__file__).parents[3] / "docs" / "architecture.md"


def table():
    rows = [line.split("|")[1:-1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `/")]
    cells = ([cell.strip().strip("`") for cell in row] for row in rows)
    return [(row[0], row[1], row[2]) for row in cells if len(row) > 2 and re.fullmatch(r"[0-7]{4}", row[2])]


@pytest.mark.parametrize(("path", "owners", "mode"), table())
def test_everything_belongs_to_whom_the_architecture_says(host, name, path, owners, mode):
    """A row with a star stands for all that lies there, links apart, and its folders can be entered."""
    pattern = path.replace("NAME", name).replace("RELEASE", "*")
    owners = owners.replace("NAME", name)
    every = pattern.endswith("/**")
    found = host.run(f"find {pattern.removesuffix('/**')} {'' if every else '-maxdepth 0'} -printf '%y %u:%g %m %p\\n'")
    lines = [line.split(" ", 3) for line in found.stdout.splitlines()]
    assert lines or every
    for kind, known, bits, where in lines:
        assert known == owners, where
        if kind != "l":
            wanted = int(mode, 8)
            allowed = {wanted, wanted | 0o111 & wanted >> 2} if every else {wanted}
            assert int(bits, 8) in allowed, f"{where} has {bits}"


def test_nothing_lies_beside_that_table(host, name):
    """Links are root's; inside these folders all is as it came."""
    as_it_came = [f"/srv/{name}/(shared|build)/.*", "/var/lib/production.fastapi/[^/]+(/displaced(/.*)?)?"]
    known = [*as_it_came]
    for path, _owners, _mode in table():
        pattern = re.escape(path.replace("NAME", name).removesuffix("/**"))
        known.append(pattern.replace("RELEASE", "[^/]+").replace(r"\*", "[^/]+") + "(/.*)?" * path.endswith("/**"))
    by_table = re.compile("|".join(known))
    found = host.check_output(
        f"find /srv/{name} /opt/production.fastapi /var/lib/production.fastapi -printf '%y %u:%g %p\\n'"
    )
    lines = [line.split(" ", 2) for line in found.splitlines()]
    assert len(lines) > 20
    assert [path for kind, _owners, path in lines if kind != "l" and not by_table.fullmatch(path)] == []
    links = [path for kind, owners, path in lines if kind == "l" and owners != "root:root"]
    assert [link for link in links if not re.match(as_it_came[0], link)] == []


def test_no_process_of_a_build_is_left(host, name):
    assert host.run(f"pgrep --euid {name}_").stdout == ""
    assert host.check_output(f"systemctl list-units --plain --no-legend '{name}.run-*'") == ""


def test_no_file_of_a_release_has_another_name(host, name):
    assert host.check_output(f"find /srv/{name}/releases /srv/{name}/public -type f -links +1 | head -3") == ""


def test_the_app_is_served_by_supported_versions_of_its_own_virtualenv(host, name, releases):
    code = "import gunicorn, uvicorn, uvicorn_worker, uvloop, httptools, websockets; print(gunicorn.__version__)"
    for release in releases:
        version = host.check_output(f"runuser -u {name} -- {release['path']}/venv/bin/python -c '{code}'")
        assert 25 <= int(version.split(".")[0]) < 28


def test_the_entry_point_can_be_imported_without_writing(host, name, releases):
    for release in releases:
        module = release["entrypoint"].partition(":")[0]
        python = f"env PYTHONDONTWRITEBYTECODE=1 {release['path']}/venv/bin/python"
        code = f'import sys, {module}; print(sys.modules["{module}"].__cached__)'
        file = host.check_output(f"cd {release['directory']} && runuser -u {name} -- {python} -c '{code}'")
        assert host.file(file).exists, "the module was not compiled at build"


def test_secrets_are_for_root_and_the_app(host, name):
    environment = host.file(f"/etc/{name}/environment")
    assert (environment.user, environment.group, environment.mode) == ("root", name, 0o640)
    assert 'APP_REQUEST_TIMEOUT="' in environment.content_string


def test_the_user_cannot_log_in(host, name):
    user = host.user(name)
    assert user.shell == "/usr/sbin/nologin"
    assert user.uid < 1000
