"""What `molecule create` says when there is no engine or no image, and none can be built."""

import importlib.util
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "script"


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("hosts", SCRIPT / "hosts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "KEY", tmp_path / "ssh_key")
    for name in ("ssh_key", "ssh_key.pub"):
        (tmp_path / name).write_text("a key")
    monkeypatch.setenv("PATH", str(tmp_path))
    return module


def program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_an_image_that_is_not_built_names_the_command_that_builds_it(hosts, tmp_path):
    program(tmp_path / "script/image", "echo no route to the registry >&2; exit 1")
    with pytest.raises(SystemExit) as ended:
        hosts.create([{"image": "debian12"}])
    assert str(ended.value) == (
        "The image debian12 was not built. Build it by 'script/image debian12', then go on. It said:\n"
        "no route to the registry"
    )


def test_an_image_that_is_there_is_not_built_again(hosts, tmp_path, monkeypatch):
    program(tmp_path / "docker", "exit 0")
    monkeypatch.setattr(hosts, "build", lambda image: pytest.fail(f"{image} is built"))
    with pytest.raises(KeyError, match="network"):
        hosts.create([{"image": "debian12"}])


def test_a_key_is_made_once_however_many_need_it(hosts, tmp_path):
    hosts.KEY.unlink()  # its public half is left, as after a run that was killed
    program(
        tmp_path / "ssh-keygen",
        f"set -eu; key={hosts.KEY}; [ ! -e $key ]; echo private >$key; /bin/sleep 0.3; echo public >$key.pub",
    )
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: hosts.key(), range(4))) == ["public\n"] * 4


def test_without_docker_it_says_what_to_install(hosts):
    with pytest.raises(SystemExit, match="There is no program docker; install Docker"):
        hosts.network("net", "198.18.0.0/24")


@pytest.mark.parametrize(
    ("docker_says", "sentence"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "You may not use Docker at unix:///d.sock: 'sudo usermod -aG docker $USER', then log in again.",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///d.sock. Is the docker daemon running?",
            "No Docker engine answers at unix:///d.sock: start it, such as by 'sudo systemctl start docker'.",
        ),
    ],
)
def test_without_an_engine_it_says_what_to_do(hosts, tmp_path, monkeypatch, docker_says, sentence):
    program(tmp_path / "docker", f'[ "$1" = --version ] || {{ echo "{docker_says}" >&2; exit 1; }}')
    monkeypatch.setenv("DOCKER_HOST", "unix:///d.sock")
    for what in ("create", "destroy"):
        monkeypatch.setattr("sys.argv", ["hosts.py", what, str(tmp_path / "file")])
        with pytest.raises(SystemExit) as ended:
            hosts.main()
        assert str(ended.value) == sentence


def test_root_may_create_hosts_before_there_is_an_engine(hosts, tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.argv", ["hosts.py", "create", str(tmp_path / "file")])
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    monkeypatch.setattr(hosts, "create", lambda listed: listed)
    hosts.main()
    assert (tmp_path / "file").read_text() == "[]"


def test_a_host_that_ends_at_once_is_not_waited_for(hosts, tmp_path):
    program(tmp_path / "docker", '[ "$1" != exec ] || exit 1; [ "$1" != inspect ] || echo false')
    with pytest.raises(SystemExit, match=r"pf-a has ended as soon as it was started.*fs\.inotify\.max_user_instances"):
        hosts.start("pf-a", "debian12", "net")
