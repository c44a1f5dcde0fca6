"""A reader follows the tutorials: each command and each file is taken from the page, in the order of the pages.

What the pages leave to the reader is here: servers, a repository, an authority.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from asking import on
from inside import host_in
from plays import ROOT
from tutorial import blocks, plain

PAGES = [ROOT / "docs" / "tutorials" / f"{name}.md" for name in ("first-server", "own-app", "deploy", "cluster")]
BLOCKS = [block for page in PAGES for block in blocks(page)]
WORLD = "198.18.66.9"
# What a page says, and what is here instead.
STAND_INS = {
    "203.0.113.": "198.18.66.",
    "10.0.0.": "198.18.66.",
    "https://github.com/you/shop.git": f"git://{WORLD}/shop.git",
    "nginx_acme_email: you@example.com": (
        "nginx_acme_email: you@example.com\n"
        "nginx_acme_directory: https://acme.test:14000/dir\n"
        "nginx_acme_ca_bundle: /etc/ssl/acme-ca.pem"
    ),
}
DAEMON = "--base-path=/srv --export-all --enable=receive-pack"
ASK = "curl --silent --show-error --fail --retry 90 --retry-connrefused --retry-delay 1"
GIT_CONFIG = f"""
[user]
    name = A reader
    email = you@example.com
[safe]
    directory = *
[url "file://{ROOT}"]
    insteadOf = https://github.com/production-fastapi/production.fastapi
"""
IDENTITY = ["-c", "user.name=You", "-c", "user.email=you@example.com"]


def here(text):
    """The text of a page with what is here instead."""
    for said, instead in STAND_INS.items():
        text = text.replace(said, instead)
    return text


def copy(source, host, target):
    subprocess.run(["docker", "cp", source, f"{host}:{target}"], check=True, capture_output=True)


def repository(folder):
    """The reader's repository with two tags, in `folder`/shop.git, and a clone of it."""
    work = folder / "shop"
    shutil.copytree(Path(__file__).parents[1] / "shop", work, ignore=shutil.ignore_patterns("__pycache__"))
    main = work / "shop" / "main.py"

    def git(*words):
        subprocess.run(["git", *IDENTITY, *words], cwd=work, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    for tag in ("v1.4.0", "v1.4.1"):
        main.write_text(main.read_text().replace("1.4.0", tag[1:]))
        git("add", ".")
        git("commit", "--message", tag)
        git("tag", tag)
    git("clone", "--bare", ".", "../shop.git")
    git("remote", "add", "origin", f"git://{WORLD}/shop.git")


class Reader:
    """Who follows the pages, in one shell after the other; each has the folder and the variables of the last."""

    def __init__(self, home):
        self.home = home
        self.state = home / ".state"
        self.state.write_text(f"cd {shlex.quote(str(home))}\n")
        self.output = ""
        # What is wrong so that nothing after it can be right.
        self.failed = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
        # Nothing of this checkout's tools: the page says how to get them. Their versions are those of the lock.
        kept["PATH"] = os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if ".venv" not in part)
        kept |= {
            name: value for name, value in os.environ.items() if name.startswith(("ANSIBLE_PRIVATE", "ANSIBLE_SSH"))
        }
        versions = home / "versions"
        lock = (ROOT / "script" / "requirements.txt").read_text()
        versions.write_text("\n".join(re.findall(r"^[\w.-]+==[^\\\n]*", lock, re.MULTILINE)))
        self.environment = kept | {"HOME": str(home), "PIP_CONSTRAINT": str(versions), "NO_COLOR": "1"}
        # What is used of Ansible is compiled when it is used, which is a part of it. For pip, the option is on by a no.
        self.environment["PIP_NO_COMPILE"] = "no"

    def run(self, text, where):
        if where == "on the server":
            command = ["docker", "exec", "--interactive", "pf-tutorial-web1", "bash", "-e"]
        else:
            command = ["bash", "-e"]
            text = f". {self.state}\n{text}\n{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} >{self.state}\n"
        done = subprocess.run(
            command,
            input=text,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=1800,
        )
        self.output = done.stdout
        return done.returncode

    def write(self, name, text, mode):
        folder = self.state.read_text().rpartition("cd ")[2].strip()
        path = Path(shlex.split(folder)[0]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(text)


@pytest.fixture(scope="session")
def world():
    """The rest of the world; its authority is being installed while the reader reads the first page."""
    host = host_in("pf-tutorial-world")
    copy(ROOT / "molecule" / "certificates" / "authority.sh", "pf-tutorial-world", "/srv/authority.sh")
    on(host, "printf none | tee /srv/eab /srv/tsig")
    on(host, "systemctl is-active pebble-14000 || systemd-run --unit authority sh /srv/authority.sh")
    return host


@pytest.fixture(scope="session")
def reader(world, tmp_path_factory):
    """A reader with an empty home but for an app, whose repository is out in the world."""
    home = tmp_path_factory.mktemp("home")
    repository(home)
    on(world, "rm -rf /srv/shop.git")
    copy(home / "shop.git", "pf-tutorial-world", "/srv/shop.git")
    on(world, "chown -R root: /srv/shop.git")
    on(world, f"systemctl is-active git || systemd-run --unit git git daemon {DAEMON} /srv/shop.git")
    (home / ".gitconfig").write_text(GIT_CONFIG)
    (home / ".curlrc").write_text("silent\nshow-error\n")
    return Reader(home)


@pytest.fixture(scope="session")
def authority(world, reader):
    """The authority, which the server and the reader trust; it finds the site by its name, and so does the reader."""
    on(
        world,
        f"{ASK} http://127.0.0.1:8055/add-a -d %s",
        '{"host": "shop.example.com.", "addresses": ["198.18.66.10"]}',
    )
    (reader.home / "acme.pem").write_text(on(world, "cat /srv/pebble/ca.pem"))
    copy(reader.home / "acme.pem", "pf-tutorial-web1", "/etc/ssl/acme-ca.pem")
    (reader.home / "root.pem").write_text(
        on(world, f"{ASK} --cacert /srv/pebble/ca.pem https://acme.test:14001/roots/0")
    )
    with (reader.home / ".curlrc").open("a") as file:
        file.write(f'resolve = "shop.example.com:443:198.18.66.10"\ncacert = "{reader.home}/root.pem"\n')


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_the_page_says(reader, block, request):
    assert not reader.failed, f"{reader.failed} failed before"
    reader.failed = str(block)
    if "letsencrypt" in block.text:
        request.getfixturevalue("authority")
    text = here(block.text)
    if block.language == "text":
        assert reader.output == "" or plain(text) in plain(reader.output), reader.output
    elif block.language != "sh":
        name, end = block.says("file"), block.says("end of")
        reader.write(name or end, text, "w" if name else "a")
    elif block.says("not run"):
        reader.output = ""
    else:
        status = reader.run(text, block.comment)
        assert (status != 0) == bool(block.says("fails")), reader.output
        said = here(block.says("fails") or block.says("says"))
        assert plain(said) in plain(reader.output), reader.output
    reader.failed = ""


@pytest.mark.parametrize("said", STAND_INS)
def test_each_stand_in_is_for_something_that_a_page_says(said):
    assert any(said in block.text for block in BLOCKS)
