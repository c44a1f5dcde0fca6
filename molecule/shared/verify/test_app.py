"""What the role app leaves on a host: a complete release of the app's user, and its secrets for nobody else."""

import json

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


@pytest.mark.parametrize(
    ("folder", "of_the_app"), [("", False), ("releases", False), ("shared", True), ("cache", True)]
)
def test_folders_belong_to_who_needs_them(host, name, folder, of_the_app):
    path = host.file(f"/srv/{name}/{folder}")
    assert path.is_directory
    assert path.mode == 0o755
    assert path.user == (name if of_the_app else "root")


def test_the_app_s_user_owns_the_release_and_root_what_describes_it(host, name, releases):
    for release in releases:
        found = host.check_output(f"find {release['path']}/src {release['path']}/venv ! -user {name} | head -3")
        assert found == ""
        assert host.check_output(f"find {release['path']} ! -type l -perm /022 | head -3") == ""
        assert host.file(f"{release['path']}/release.env").user == "root"


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
