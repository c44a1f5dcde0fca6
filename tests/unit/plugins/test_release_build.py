"""A build from its first folder to its last file, without a network: what it leaves behind, and what it finds."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import build as release_build
from ansible_collections.production.fastapi.plugins.module_utils._release import install as release_install
from ansible_collections.production.fastapi.plugins.module_utils._release.build import Release, Spec
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import pack, tree_hash
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import Chosen
from ansible_collections.production.fastapi.plugins.module_utils._release.git import Git
from ansible_collections.production.fastapi.plugins.module_utils._release.host import (
    Account,
    Confinement,
    Settings,
    run,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, pick_short_commit

MAIN = "import os\n\nasync def app(scope, receive, send):\n    pass\n"
PYPROJECT = '[project]\nname = "hello"\nversion = "1"\n[tool.fastapi]\nentrypoint = "main:app"\n'


UV = Path(__file__).parents[3] / ".venv" / "bin" / "uv"


@pytest.fixture(autouse=True)
def this_python(monkeypatch):
    """Build as whoever runs the tests and with a uv that does nothing: nothing here has a dependency."""
    monkeypatch.setattr(Account, "find", classmethod(lambda cls, _name: cls(None)))
    monkeypatch.setattr(release_build.Release, "_uv", lambda _release: Path("/bin/true"))
    monkeypatch.setattr(release_install, "pip_command", lambda: ["false"])


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def prepare(
    source: Path, git: dict[str, str] | None = None, below: str = "", **options: object
) -> tuple[Release, Path]:
    directory = source.parent / "srv"
    upload = source.parent / "upload"
    if git is None:
        with upload.open("wb") as file:
            pack(source, file)
    wanted = git or {"folder": str(source), "tree": tree_hash(source), "subdirectory": below}
    spec = Spec(name="hello", directory=directory, user="hello", **{"source": wanted, **options})
    release = Release(spec, warn=lambda _text: None)
    release.resolve()
    release.folders(check=False)
    return release, upload


def place_in(folder: Path) -> Place:
    return Place("hello", folder / "srv", folder / "srv" / "releases" / "one", Account(None))


def releases(source: Path) -> list[str]:
    return sorted(path.name for path in (source.parent / "srv" / "releases").iterdir())


def test_a_release_is_built_and_then_found(source):
    release, upload = prepare(source)
    assert release.read() is None
    built = release.build(upload)
    assert built["entrypoint"] == "main:app"
    assert built["dependencies"] == "pyproject.toml"
    assert release.read() == built
    assert sorted(path.name for path in release.path.iterdir()) == ["release.env", "release.json", "src", "venv"]
    assert f'PRODUCTION_FASTAPI_DIRECTORY="{release.path}/src"' in (release.path / "release.env").read_text()


def test_a_folder_with_one_folder_in_it_keeps_that(source):
    (source / "api").mkdir()
    for name in ("main.py", "pyproject.toml"):
        (source / name).rename(source / "api" / name)
    wanted = {"folder": str(source), "tree": tree_hash(source), "subdirectory": "api"}
    upload = prepare(source)[1]
    release = Release(Spec(name="hello", directory=source.parent / "srv", user="hello", source=wanted), warn=print)
    release.resolve()
    release.build(upload)
    assert (release.path / "src" / "api" / "main.py").is_file()


def test_the_python_of_a_dockerfile_that_cannot_be_had_is_named_when_the_build_fails(source):
    (source / "Dockerfile").write_text("FROM python:3.99-slim\n")
    release, upload = prepare(source)
    assert release.build(upload)["entrypoint"] == "main:app"
    (source / "main.py").write_text("raise RuntimeError('planted')\n")
    release, upload = prepare(source)
    lacks = "app_python: the Dockerfile has Python 3.99, which uv cannot install on the host."
    with pytest.raises(ReleaseError, match=f"RuntimeError: planted. {lacks}$"):
        release.build(upload)


def test_commands_make_what_the_source_does_not_have(source):
    """Here a module, without which the app cannot be imported, by the app's own Python."""
    (source / "main.py").write_text("import made\n" + MAIN)
    commands = ['printf \'EDITION = "%s"\' "$EDITION" >made.py', "python -c 'import sys; print(sys.prefix)' >prefix"]
    release, upload = prepare(source, build_commands=commands, build_environment={"EDITION": "a b"})
    release.build(upload)
    assert (release.path / "src" / "made.py").read_text() == 'EDITION = "a b"'
    assert (release.path / "src" / "prefix").read_text().strip().endswith("/venv")


def test_tools_that_npm_installs_for_all_go_to_a_folder_of_the_build(source):
    commands = [
        'mkdir -p "$NPM_CONFIG_PREFIX/bin"',
        'printf "#!/bin/sh\necho built >built.py\n" >"$NPM_CONFIG_PREFIX/bin/pnpm"',
        'chmod +x "$NPM_CONFIG_PREFIX/bin/pnpm"',
        "pnpm",
    ]
    release, upload = prepare(source, build_commands=commands)
    release.build(upload)
    assert (release.path / "src" / "built.py").read_text() == "built\n"


def test_a_build_command_that_fails_ends_the_build(source):
    commands = ["echo begun", "echo 'no such package' >&2; exit 3", "touch /nowhere"]
    release, upload = prepare(source, build_commands=commands)
    with pytest.raises(ReleaseError, match=r"^app_build: echo .* ended with exit code 3: no such package$"):
        release.build(upload)
    assert releases(source) == []


def test_a_build_command_runs_in_the_folder_of_the_app_and_says_so(source):
    below = source / "backend"
    below.mkdir()
    for path in [path for path in source.iterdir() if path != below]:
        path.rename(below / path.name)
    (source / "frontend").mkdir()
    (source / "frontend" / "page").touch()
    release, upload = prepare(source, build_commands=["cp ../frontend/page page"], below="backend")
    release.build(upload)
    assert (release.path / "src" / "backend" / "page").is_file()
    release, upload = prepare(source, build_commands=["cd frontend"], below="backend")
    with pytest.raises(ReleaseError, match=r"ended with exit code \d+ in backend of the source: .*frontend"):
        release.build(upload)


def test_bytecode_is_there_when_the_app_starts(source):
    release, upload = prepare(source)
    release.build(upload)
    assert list((release.path / "src" / "__pycache__").glob("main.*.pyc"))


def test_bytecode_goes_by_the_text_and_by_nothing_else(source):
    """Files of equal time and size, of which one is new, and bytecode that somebody else has left."""
    (source / "other.py").write_text("VERSION = 1\n")
    (source / "__pycache__").mkdir()
    release, upload = prepare(source)
    release.build(upload)
    cache = {path.name: path.stat().st_ino for path in release.place.bytecode.iterdir()}
    (source / "other.py").write_text("VERSION = 2\n")
    second, upload = prepare(source)
    second.build(upload)
    assert cache.items() <= {path.name: path.stat().st_ino for path in second.place.bytecode.iterdir()}.items()
    for built, version in ((release, 1), (second, 2)):
        (compiled,) = (built.path / "src" / "__pycache__").glob("other.*.pyc")
        assert compiled.stat().st_nlink == 1
        # Never compared with its text, whose time says nothing.
        os.utime(built.path / "src" / "other.py", (1, 1))
        words = [sys.executable, "-c", "import other; print(other.VERSION, other.__cached__)"]
        seen = subprocess.run(words, cwd=built.path / "src", capture_output=True, text=True, check=True)
        assert seen.stdout.split() == [str(version), str(compiled)]


def test_bytecode_that_came_with_the_source_is_left_behind(source):
    repository = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / f"main.{sys.implementation.cache_tag}.pyc").write_bytes(b"planted")
    for words in (["init", "-q", "-b", "main"], ["add", "--force", "."], ["commit", "-qm", "x"]):
        subprocess.run([*repository, *words], cwd=source, check=True)
    release, _upload = prepare(source, git={"git": f"file://{source}"})
    release.build(None)
    (compiled,) = (release.path / "src" / "__pycache__").iterdir()
    assert compiled.read_bytes() != b"planted"


def test_a_link_that_leads_root_out_of_the_source_is_refused(source, tmp_path):
    (tmp_path / "secret").write_text("[tool.fastapi]\nentrypoint = 'main:app'\n")
    (source / "pyproject.toml").unlink()
    (source / "pyproject.toml").symlink_to(tmp_path / "secret")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qmx"],
    ):
        subprocess.run(["git", *words], cwd=source, check=True)
    release, _upload = prepare(source, git={"git": f"file://{source}"})
    with pytest.raises(ReleaseError, match=r"pyproject\.toml is a link that leads out of the source"):
        release.build(None)


def test_a_project_that_asks_for_another_python_is_refused_before_anything_is_installed(source):
    (source / "pyproject.toml").write_text(PYPROJECT.replace("[tool", 'requires-python = ">=3.99"\n[tool'))
    release, upload = prepare(source)
    with pytest.raises(ReleaseError, match=r"^app_python: requires-python asks for Python >=3\.99, the host has 3\."):
        release.build(upload)
    (source / ".python-version").write_text("3.98\n")
    release, upload = prepare(source)
    with pytest.raises(ReleaseError, match=r"^app_python: \.python-version asks for Python 3\.98, the host has 3\."):
        release.build(upload)


def test_a_complete_release_is_not_built_again(source, monkeypatch):
    release, upload = prepare(source)
    built = release.build(upload)
    monkeypatch.setattr(Release, "_fill", lambda *_: pytest.fail("built twice"))
    assert release.build(upload) == built


def test_a_build_that_fails_leaves_nothing(source):
    (source / "main.py").write_text("import nothing_of_that_name")
    release, upload = prepare(source)
    with pytest.raises(
        ReleaseError, match=r"^main:app cannot be imported: ModuleNotFoundError: No module named"
    ) as error:
        release.build(upload)
    assert "Traceback" in error.value.log
    assert releases(source) == []


def test_a_build_that_was_killed_is_not_complete_and_is_removed(source):
    release, upload = prepare(source)
    dead = release.path.with_name("dead-1234")
    dead.mkdir()
    (dead / release_build.UNDER_WAY).touch()
    release.path.mkdir()
    (release.path / release_build.UNDER_WAY).touch()
    assert release.read() is None
    release.build(upload)
    assert releases(source) == [release.path.name]


def test_a_folder_of_somebody_else_stays(source):
    release, upload = prepare(source)
    release.path.mkdir()
    (release.path / "precious").touch()
    with pytest.raises(ReleaseError, match="was not made by this collection"):
        release.build(upload)
    assert (release.path / "precious").exists()


def test_what_the_import_may_not_write_is_explained(source):
    (source / "main.py").write_text("raise OSError(30, 'Read-only file system', '/var/log/hello')")
    release, upload = prepare(source)
    with pytest.raises(
        ReleaseError, match=rf"'/var/log/hello'\. The app can write only in {source.parent}/srv/shared and"
    ):
        release.build(upload)


def test_the_import_sees_the_environment_and_the_release(source):
    checked = 'import os, sys\nassert os.environ["TOKEN"] == "a $b"\n'
    checked += 'assert os.environ["PRODUCTION_FASTAPI_NAME"] == "hello"\n'
    checked += 'assert os.environ["PATH"].startswith(sys.prefix + "/bin:")\n'
    (source / "main.py").write_text(checked + MAIN)
    release, upload = prepare(source, environment={"TOKEN": "a $b"})
    release.build(upload)


def test_an_import_that_hangs_is_ended(source, monkeypatch):
    monkeypatch.setattr(release_build, "IMPORT_TIMEOUT", 0.5)
    (source / "main.py").write_text("import time\ntime.sleep(30)\n")
    release, upload = prepare(source)
    with pytest.raises(ReleaseError, match="it takes more than"):
        release.build(upload)


def test_what_is_no_app_is_refused(source):
    (source / "main.py").write_text("app = 1\n")
    release, upload = prepare(source)
    with pytest.raises(ReleaseError, match="app is a int and no ASGI application"):
        release.build(upload)


BROKEN_BACKEND = """
def build_wheel(*_args, **_options): raise RuntimeError("a planted error of the build")
build_editable = build_wheel
"""
BROKEN_PROJECT = """
[project]
name = "hello"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.mark.skipif(not UV.is_file(), reason="uv is not among the tools")
@pytest.mark.parametrize(
    "said",
    [
        "No file/folder found for package hello",
        "Unable to determine which files to ship inside the wheel using the following heuristics:",
        "error: Multiple top-level packages discovered in a flat-layout: ['app', 'data'].",
        "Expected a Python module at: `src/hello/__init__.py`",
    ],
)
@pytest.mark.parametrize("form", ["requirements.txt", "uv.lock"])
def test_an_app_that_is_no_package_is_imported_from_its_folder(source, monkeypatch, said, form):
    monkeypatch.setattr(release_build.Release, "_uv", lambda _release: UV)
    (source / "pyproject.toml").write_text(
        BROKEN_PROJECT.replace('version = "1"', 'version = "1"\nrequires-python = ">=3.11"')
    )
    (source / "backend.py").write_text(BROKEN_BACKEND.replace('"a planted error of the build"', f'"""{said}"""'))
    (source / "requirements.txt").write_text("")
    if form == "uv.lock":
        tool = [str(UV), "--quiet", "--offline", "--no-python-downloads"]
        subprocess.run([*tool, "lock"], cwd=source, check=True)
    release, upload = prepare(source, entrypoint="main:app", dependencies=form)
    told = []
    release.warn = told.append
    release.build(upload)
    assert [sentence for sentence in told if "no package can be built of the source" in sentence]


# What is broken: files of the source, and the sentence. What a deploy makes of such a sentence does not depend on it;
# an import that hangs and a full disk show that on hosts.
@pytest.mark.skipif(not UV.is_file(), reason="uv is not among the tools")
@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"main.py": "NAME = ("}, r"^main:app cannot be imported: SyntaxError: '\(' was never closed"),
        ({"main.py": "import nowhere"}, r"^main:app cannot be imported: .*No module named 'nowhere'\. No pack"),
        ({"pyproject.toml": BROKEN_PROJECT, "backend.py": BROKEN_BACKEND}, r"a planted error of the build"),
        (
            {"requirements.txt": f"--no-index\n--find-links WHEELS\nalways==1 --hash=sha256:{'0' * 64}\n"},
            r"^requirements\.txt: a package does not have the hash that is written there",
        ),
    ],
    ids=["syntax error", "missing module", "wheel that does not build", "lock that does not fit"],
)
def test_a_source_that_is_broken_is_refused_and_nothing_of_it_is_left(source, monkeypatch, wheels, files, sentence):
    monkeypatch.setattr(release_build.Release, "_uv", lambda _release: UV)
    for name, text in files.items():
        (source / name).write_text(text.replace("WHEELS", str(wheels)))
    form = "requirements.txt" if "requirements.txt" in files else "pyproject.toml"
    release, upload = prepare(source, entrypoint="main:app", dependencies=form)
    with pytest.raises(ReleaseError, match=sentence):
        release.build(upload)
    assert releases(source) == []


FACTORIES = """
import functools

class App:
    async def __call__(self, scope, receive, send):
        pass

async def app(scope, receive, send):
    pass

def create_app(settings=None):
    return app

def older(scope):
    return app

def takes_all(*arguments):
    return app(*arguments)

async def awaited():
    return app

made = functools.partial(older, {})
instance = App()
print("a line without an end", end="")
"""


@pytest.mark.parametrize(
    ("named", "served"),
    [
        ("create_app", "create_app()"),
        ("create_app()", "create_app()"),
        ("made", "made()"),
        ("App", "App()"),
        ("app", "app"),
        ("older", "older"),
        ("takes_all", "takes_all"),
        ("awaited", "awaited"),
        ("instance", "instance"),
    ],
)
def test_a_function_that_makes_the_app_is_known_as_one(source, named, served):
    (source / "main.py").write_text(FACTORIES)
    release, upload = prepare(source, entrypoint=f"main:{named}")
    assert release.build(upload)["entrypoint"] == f"main:{served}"
    assert f'PRODUCTION_FASTAPI_ENTRYPOINT="main:{served}"\n' in (release.path / "release.env").read_text()


@pytest.mark.parametrize("named", ["older()", "instance()", "awaited()"])
def test_what_cannot_be_called_is_not_a_factory(source, named):
    (source / "main.py").write_text(FACTORIES)
    release, upload = prepare(source, entrypoint=f"main:{named}")
    with pytest.raises(ReleaseError, match=r"cannot be called so; write .*, or a function that needs no arguments"):
        release.build(upload)


def test_files_of_other_platforms_are_named_once(source):
    told = []
    subprocess.run(["git", "init", "-q"], cwd=source, check=True)
    for name in ("Procfile", ".env"):
        (source / name).touch()
    release, upload = prepare(source)
    release.warn = told.append
    release.build(upload)
    release.build(upload)
    (sentence,) = told
    assert sentence == (
        "app_source: the roles do not read Procfile, .env: what Procfile says belongs into app_entrypoint,"
        " app_processes and app_migrate_command; what .env says belongs into app_environment."
    )


@pytest.mark.parametrize("option", ["minimum_free_disk_mb", "minimum_free_memory_mb"])
def test_a_build_without_room_is_refused(source, option):
    release, _upload = prepare(source, **{option: 1 << 40})
    with pytest.raises(ReleaseError, match=f"app_{option} asks for {1 << 40}"):
        release.check_room()


@pytest.mark.parametrize(
    "option",
    [
        {"python": "3.12"},
        {"dependencies": "pyproject.toml"},
        {"entrypoint": "main:app"},
        {"requirements": ["gunicorn>=25"]},
        {"install_options": ["--pre"]},
        {"extras": ["production"]},
        {"groups": ["production"]},
        {"build_commands": ["true"]},
        {"settings": Settings(index_url="https://index.example.com")},
    ],
    ids=str,
)
def test_whatever_changes_the_build_changes_the_name(source, option):
    assert prepare(source)[0].path != prepare(source, **option)[0].path


def test_the_environment_of_the_build_commands_is_part_of_the_name(source):
    names = {
        prepare(source, build_commands=["true"], build_environment={"EDITION": edition})[0].path.name
        for edition in ("one", "two")
    }
    assert len(names) == 2
    # Packages that are built have it, too.
    assert prepare(source, build_environment={"EDITION": "one"})[0].path != prepare(source)[0].path


def test_a_checksum_that_differs_in_its_last_digit_is_another_release(tmp_path):
    names = set()
    for digit in "12":
        source = {"archive": "https://example.com/x.zip", "checksum": f"sha256:{'0' * 63}{digit}"}
        release = Release(Spec(name="hello", directory=tmp_path, user="hello", source=source), warn=print)
        release.resolve()
        names.add(release.path.name)
    assert len(names) == 2


def test_secrets_and_the_way_to_the_network_do_not_change_the_name(source):
    others = {"environment": {"A": "b"}, "settings": Settings(proxy="http://proxy"), "minimum_free_disk_mb": 1}
    assert prepare(source)[0].path == prepare(source, **others)[0].path


def test_folders_are_repaired_and_only_said_in_check_mode(source):
    release, _upload = prepare(source)
    assert release.folders(check=False) is False
    (release.spec.directory / "shared").chmod(0o755)
    assert release.folders(check=True) is True
    assert (release.spec.directory / "shared").stat().st_mode & 0o777 == 0o755
    assert release.folders(check=False) is True
    assert (release.spec.directory / "shared").stat().st_mode & 0o777 == 0o750


def test_releases_of_earlier_versions_take_the_names_of_today(source):
    """They may become live again, by units that know these names; what an app calls APP_NAME is its own."""
    release, upload = prepare(source)
    release.build(upload)
    file = release.path / "release.env"
    new = file.read_text()
    file.write_text(new.replace("PRODUCTION_FASTAPI_", "APP_"))
    assert release.folders(check=True) is True
    assert "PRODUCTION_FASTAPI_" not in file.read_text()
    assert release.folders(check=False) is True
    assert (file.read_text(), file.stat().st_mode & 0o777) == (new, 0o640)
    assert release.folders(check=False) is False


def test_the_cache_of_earlier_versions_goes(source):
    release, _upload = prepare(source)
    (release.spec.directory / "cache" / "uv").mkdir(parents=True)
    assert release.folders(check=True) is True
    assert release.folders(check=False) is True
    assert sorted(path.name for path in release.spec.directory.iterdir()) == ["build", "public", "releases", "shared"]
    assert release.folders(check=False) is False


def test_the_app_s_own_version_outside_the_range_is_named(source, monkeypatch):
    monkeypatch.setattr(release_install.Installer, "installed", lambda _self: {"gunicorn": "20.1.0"})
    release, upload = prepare(source, requirements=["gunicorn>=25,<28"])
    with pytest.raises(
        ReleaseError, match=r"gunicorn 20\.1\.0 \(supported: >=25,<28\); change them in pyproject\.toml"
    ):
        release.build(upload)


def test_pins_that_cannot_be_served_are_refused_before_anything_is_installed(source, monkeypatch):
    monkeypatch.setattr(release_build.Release, "_uv", lambda _release: pytest.fail("went on"))
    (source / "requirements.txt").write_text("gunicorn==20.1.0\n")
    release, upload = prepare(source, requirements=["gunicorn>=25,<28"])
    with pytest.raises(ReleaseError, match=r"gunicorn 20\.1\.0 \(supported: >=25,<28\); change them in requirements"):
        release.build(upload)


@pytest.mark.parametrize("form", ["uv.lock", "pylock.toml", "requirements.txt"])
def test_a_pin_that_is_ignored_is_moved_and_no_other_one(tmp_path, monkeypatch, form):
    asked, place = [], place_in(tmp_path)
    place.prepare()
    there = {"gunicorn": "20.1.0", "click": "8.2.0"}
    monkeypatch.setattr(release_install.Installer, "installed", lambda _self: there)
    monkeypatch.setattr(release_install.Installer, "_pip", lambda _self, words, _folder: asked.append(words) or (0, ""))
    installer = release_install.Installer(Path("/bin/false"), place, Settings(), ignored=["gunicorn"])
    installer.join(["gunicorn>=25,<28"], release_install.Wanted(form, tmp_path))
    ((requirement, _option, constraints),) = asked
    assert requirement == "gunicorn>=25,<28"
    assert place.outside(Path(constraints)).read_text() == "click==8.2.0\n"


@pytest.mark.parametrize(
    ("form", "text", "overrides"),
    [
        ("requirements.txt", "Uvicorn[standard]==0.15.0\na==1\n", "uvicorn[standard]>=0.30,<1\n"),
        ("requirements.txt", "uvicorn==0.15.0 --hash=sha256:0\n", ""),
        ("pyproject.toml", '[project]\nname="a"\ndependencies=["uvicorn[standard] ==0.15.0"]\n', "uvicorn[standard]>="),
        ("pylock.toml", "", ""),
    ],
)
def test_nothing_comes_that_only_an_ignored_version_needs(tmp_path, monkeypatch, form, text, overrides):
    asked, place = [], place_in(tmp_path)
    place.prepare()
    (tmp_path / form).write_text(text)
    monkeypatch.setattr(release_install.Installer, "_pip", lambda _self, words, _folder: asked.append(words) or (0, ""))
    serving = ["gunicorn>=25", "uvicorn>=0.30,<1"]
    installer = release_install.Installer(Path("/bin/false"), place, Settings(), ignored=["uvicorn"], serving=serving)
    installer.install(release_install.Wanted.read(form, tmp_path, Chosen()))
    replace(installer, ignored=()).install(release_install.Wanted.read(form, tmp_path, Chosen()))
    given, plain = asked
    assert "--override" not in plain
    old = replace(installer, ignored=["typing-extensions"])._overrides(release_install.Wanted("a", tmp_path))
    assert place.outside(Path(old[1])).read_text() == "typing-extensions>=4\n"
    assert ("--override" in given) is bool(overrides)
    if overrides:
        replace(installer).install(release_install.Wanted.read(form, tmp_path, Chosen()))
        assert place.outside(Path(given[-1])).read_text().startswith(overrides)


def test_a_source_with_a_pin_that_is_ignored_is_built_and_has_a_name_of_its_own(source, monkeypatch):
    (source / "requirements.txt").write_text("gunicorn==20.1.0\n")
    plain, ignoring = (prepare(source, ignore_pins=ignored)[0].path.name for ignored in ([], ["gunicorn"]))
    assert plain != ignoring
    release, upload = prepare(source, requirements=["gunicorn>=25,<28"], ignore_pins=["gunicorn"])

    class WentOnError(Exception):
        pass

    def went_on(_release):
        raise WentOnError

    monkeypatch.setattr(release_build.Release, "_uv", went_on)
    with pytest.raises(WentOnError):
        release.build(upload)


@pytest.mark.parametrize("form", ["uv.lock", "pylock.toml"])
def test_what_a_lock_pins_is_never_resolved_again(tmp_path, monkeypatch, form):
    installer = release_install.Installer(Path("/bin/false"), place_in(tmp_path), Settings())
    monkeypatch.setattr(release_install.Installer, "installed", lambda _self: {"gunicorn": "20.1.0"})
    monkeypatch.setattr(release_install.Installer, "_pip", lambda *_: pytest.fail("resolved again"))
    with pytest.raises(ReleaseError, match=rf"gunicorn 20\.1\.0 .* change them in {form}"):
        installer.join(["gunicorn>=25,<28"], release_install.Wanted(form, tmp_path))


def test_the_options_for_the_app_are_not_those_for_gunicorn(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(release_install.Installer, "_uv", lambda _self, words, _folder: asked.append(words) or (0, ""))
    place = place_in(tmp_path)
    place.prepare()
    installer = release_install.Installer(Path("/bin/true"), place, Settings(), ["--no-sources"], Chosen(["x"]))
    wanted = release_install.Wanted("pyproject.toml", tmp_path, ["-r", "pyproject.toml"])
    installer.install(wanted)
    installer.join(["gunicorn>=25"], wanted)
    assert ["--no-sources" in words for words in asked] == [True, False]


EXTRA = """
[project]
name = "hello"
version = "1"
requires-python = ">=3.11"
dependencies = ["always"]
optional-dependencies = {production = ["wished"], other = ["left"]}
[dependency-groups]
production = ["grouped"]
dev = ["left"]
[tool.uv]
no-index = true
find-links = ["WHEELS"]
[tool.fastapi]
entrypoint = "main:app"
"""


@pytest.fixture
def wheels(tmp_path):
    """A folder with wheels of the packages that `EXTRA` names."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("always", "wished", "grouped", "left"):
        about = f"{name}-1.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    return folder


@pytest.mark.skipif(not UV.is_file(), reason="uv is not among the tools")
@pytest.mark.parametrize("form", ["pyproject.toml", "uv.lock"])
def test_extras_and_groups_are_installed_and_no_others(source, monkeypatch, wheels, form):
    monkeypatch.setattr(release_build.Release, "_uv", lambda _release: UV)
    (source / "pyproject.toml").write_text(EXTRA.replace("WHEELS", str(wheels)))
    tool = [str(UV), "--quiet", "--offline", "--no-python-downloads"]
    if form == "uv.lock":
        subprocess.run([*tool, "lock"], cwd=source, check=True)
    release, upload = prepare(source, dependencies=form, extras=["production"], groups=["production"])
    release.build(upload)
    found = {path.name for path in release.path.glob("venv/lib/python*/site-packages/*.py")}
    assert found == {"always.py", "wished.py", "grouped.py"}


@pytest.mark.parametrize(
    ("form", "chosen", "sentence"),
    [
        (
            "pyproject.toml",
            {"extras": ["prod"]},
            r"^app_extras: pyproject\.toml has no prod; it has production, other",
        ),
        (
            "pyproject.toml",
            {"groups": ["prod"]},
            r"^app_groups: pyproject\.toml has no prod; it has production, dev",
        ),
        ("requirements.txt", {"extras": ["prod"]}, r"^app_extras: requirements\.txt has no prod; write there what is"),
        ("pylock.toml", {"extras": ["prod"]}, r"^app_extras: pylock\.toml has no prod; write there what is missing"),
        ("requirements.txt", {"groups": ["prod"]}, r"^app_groups: requirements\.txt has no prod; write there what is"),
    ],
)
def test_extras_and_groups_that_are_not_there_are_refused(source, form, chosen, sentence):
    (source / "pyproject.toml").write_text(EXTRA)
    for lock in ("requirements.txt", "pylock.toml"):
        (source / lock).touch()
    release, upload = prepare(source, dependencies=form, **chosen)
    with pytest.raises(ReleaseError, match=sentence):
        release.build(upload)


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("[build-system]", True),
        ("[tool.poetry]\npackage-mode = false\n[build-system]", False),
        ("[tool.poetry]\npackage-mode = true\n[build-system]", True),
        ("[tool.uv]\npackage = false\n[build-system]", False),
        ("[project]", False),
    ],
)
def test_a_project_that_is_no_package_is_not_built(tmp_path, text, built):
    (tmp_path / "requirements.txt").write_text("fastapi==0.116.1\n")
    (tmp_path / "pyproject.toml").write_text(f"{text}\n")
    assert release_install.Wanted.read("requirements.txt", tmp_path, Chosen()).local is built


def test_the_extras_of_a_package_are_asked_of_the_index(tmp_path):
    Chosen(["a", "b"]).check("shop==1.2.3", {})
    wanted = release_install.Wanted.read("shop==1.2.3", tmp_path, Chosen(["a", "b"]))
    assert wanted.arguments == ["shop[a,b]==1.2.3"]
    with pytest.raises(ReleaseError, match=r"^app_groups: shop==1\.2\.3 has no c;"):
        Chosen(groups=["c"]).check("shop==1.2.3", {})


def test_uv_is_installed_by_its_hashes_or_not_at_all(tmp_path, monkeypatch):
    told = []

    def pip(words, *_rest, **_options):
        told.append(Path(words[-1].removeprefix("--requirement=")).read_text())
        return 1, "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."

    monkeypatch.setattr(release_install, "run", pip)
    with pytest.raises(ReleaseError, match=r"^app_uv_hashes: 0\.1\.0 is not the version"):
        release_install.install_uv("0.1.0", (), Settings(), tmp_path)
    assert told == []
    for version, hashes in (("0.1.0", ["sha256:" + "1" * 64]), (release_install.UV_VERSION, [])):
        with pytest.raises(ReleaseError, match=r"^app_uv_hashes: what the index has"):
            release_install.install_uv(version, hashes, Settings(), tmp_path)
    assert told[0] == f"uv==0.1.0 --hash=sha256:{'1' * 64}\n"
    assert all(digest in told[1] for digest in release_install.UV_HASHES)


def test_an_empty_version_of_uv_is_the_one_that_is_known(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(release_install, "run", lambda words, *_, **__: told.append(words) or (1, "ERROR: no"))
    with pytest.raises(ReleaseError, match=rf"^uv {release_install.UV_VERSION} cannot be installed"):
        release_install.install_uv("", (), Settings(), tmp_path)


def test_no_other_file_says_which_version_of_uv_is_known():
    root = Path(__file__).parents[3]
    found = (path for folder in ("plugins", "roles", "playbooks") for path in (root / folder).rglob("*.*"))
    files = [path for path in found if path.is_file() and path.suffix != ".pyc"]
    said = ["/".join(path.parts[-2:]) for path in files if release_install.UV_VERSION.encode() in path.read_bytes()]
    assert said == ["_release/install.py"]


def test_a_host_that_cannot_have_uv_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(release_install, "run", lambda *_words, **_options: (1, "ERROR: No matching distribution"))
    with pytest.raises(ReleaseError, match=r"^uv 0\.1\.0 cannot be installed: No matching distribution"):
        release_install.install_uv("0.1.0", ["sha256:" + "1" * 64], Settings(), tmp_path)


def test_what_needs_code_of_a_package_is_done_anew_where_that_may_run(source, monkeypatch):
    """And never with the cache that outlives the build."""
    seen = []

    def install(self, _wanted):
        seen.append((self.unpacking, self.place.outside(self.place.venv) / "bin" / "python"))
        if self.unpacking:
            (self.place.venv / "left.pth").touch()
            raise release_install.NeedsCodeError

    monkeypatch.setattr(release_install.Installer, "install", install)
    monkeypatch.setattr(release_install.Installer, "join", lambda *_: None)
    release, upload = prepare(source)
    release.build(upload)
    assert [unpacking for unpacking, _python in seen] == [True, False]
    assert not (release.path / "venv" / "left.pth").exists()


@pytest.fixture
def repository(tmp_path, source):
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "x"], ["tag", "-am", "one", "v1"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], cwd=source, check=True)
    return Git(f"file://{source}", "", place_in(tmp_path), Settings())


def test_a_repository_is_resolved_and_checked_out(repository, tmp_path):
    commit = repository.resolve("main")
    assert repository.resolve("v1") == repository.resolve("HEAD") == repository.resolve(commit) == commit
    for _again in range(2):
        repository.place.prepare()
        repository.checkout(commit)
        assert (repository.place.source / "main.py").read_text() == MAIN
    with pytest.raises(ReleaseError, match=r"^app_source\.version: .* has no commit 0000"):
        repository.checkout("0" * 40)


def commit_in(folder: Path, *more: str) -> None:
    words = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    if not (folder / ".git").exists():
        subprocess.run([*words, "init", "-q", "-b", "main"], cwd=folder, check=True)
    for step in (more, ("add", "."), ("commit", "-qm", "x")):
        if step:
            subprocess.run([*words, *step], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def with_submodules(tmp_path, source):
    """`source` has `inner` as `vendor/inner` by a relative URL, which has `leaf` as `leaf`."""
    for name in ("leaf", "inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text("X = 42\n")
        commit_in(tmp_path / name)
    for name, url, path in (("inner", f"file://{tmp_path}/leaf", "leaf"), ("source", "../inner", "vendor/inner")):
        if name == "source":
            commit_in(source)
            subprocess.run(["git", "remote", "add", "origin", f"file://{source}"], cwd=source, check=True)
        commit_in(tmp_path / name, "submodule", "add", url, path)
    return Git(f"file://{source}", "", place_in(tmp_path), Settings())


def test_submodules_come_with_their_repository(with_submodules, tmp_path):
    git = with_submodules
    for _again in range(2):
        git.place.prepare()
        git.checkout(git.resolve("main"))
        vendor = git.place.source / "vendor" / "inner"
        assert (vendor / "inner.py").read_text() == "X = 42\n"
        assert (vendor / "leaf" / "leaf.py").read_text() == "X = 42\n"
        assert not list(git.place.source.rglob(".git"))


def test_a_submodule_that_cannot_be_had_is_named(with_submodules, tmp_path):
    git = with_submodules
    git.place.prepare()
    (tmp_path / "leaf").rename(tmp_path / "gone")
    with pytest.raises(ReleaseError, match=r"^app_source\.git: file://.*/leaf cannot be read"):
        git.checkout(git.resolve("main"))


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ("https://bot:pw@git.example.com/a/shop.git", "../lib.git", "https://bot:pw@git.example.com/a/lib.git"),
        ("git@git.example.com:a/shop.git", "../../b/lib.git", "git@git.example.com:b/lib.git"),
        ("https://bot:pw@git.example.com/a/s", "https://git.example.com/l", "https://bot:pw@git.example.com/l"),
        ("https://bot:pw@git.example.com/a/s", "https://other.example.com/l", "https://other.example.com/l"),
        ("https://bot:pw@git.example.com/a/s", "http://git.example.com/l", "http://git.example.com/l"),
        ("https://git.example.com/a/s", "git@git.example.com:l.git", "git@git.example.com:l.git"),
    ],
)
def test_a_submodule_is_asked_for_with_what_opens_its_own_server(tmp_path, ours, theirs, found):
    assert Git(ours, "", place_in(tmp_path), Settings())._beside(theirs) == found


@pytest.mark.parametrize("theirs", ["/srv/other/build", "file:///root/secret", "ext::sh -c id", "-u"])
def test_a_repository_does_not_name_what_is_on_the_host(tmp_path, theirs):
    with pytest.raises(ReleaseError, match=r"^app_source\.git: a submodule is at .*; use https or ssh\."):
        Git("https://git.example.com/a/s", "", place_in(tmp_path), Settings())._beside(theirs)


def test_a_short_commit_is_found_before_and_after_there_is_a_copy(repository, tmp_path):
    commit = repository.resolve("main")
    before = sorted(tmp_path.rglob("*"))
    assert repository.resolve(commit[:7]) == commit
    assert sorted(tmp_path.rglob("*")) == before, "nothing on the host has changed"
    repository.place.prepare()
    repository.checkout(commit)
    assert repository.resolve(commit[:7]) == commit
    unknown = "0000000" if not commit.startswith("0000000") else "1111111"
    sentence = rf"^app_source\.version: file://.* has no branch, tag or commit named {unknown}\."
    with pytest.raises(ReleaseError, match=sentence):
        repository.resolve(unknown)


def test_a_branch_goes_before_a_commit_that_begins_alike(repository, source):
    commit = repository.resolve("main")
    environment = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *environment, "commit", "-qm", "y", "--allow-empty"], cwd=source, check=True)
    subprocess.run(["git", "branch", commit[:7]], cwd=source, check=True)
    assert repository.resolve(commit[:7]) == repository.resolve("main") != commit


def test_a_short_commit_that_is_not_the_only_one_is_refused():
    names = ["abcd" + 36 * "1", "abcd" + 36 * "2"]
    with pytest.raises(ReleaseError, match=r"2 commits of URL begin with abcd: abcd1+, abcd2+; write more of it\."):
        pick_short_commit("\n".join(names), "abcd", "URL")
    assert pick_short_commit(names[0] + "\n", "abcd1", "URL") == names[0]


def test_a_repository_that_cannot_be_read_is_named_without_its_password(tmp_path):
    git = Git("https://bot:s3cr3t@127.0.0.1:1/shop.git", "", place_in(tmp_path), Settings())
    with pytest.raises(
        ReleaseError, match=r"^app_source\.git: https://\*+@127\.0\.0\.1:1/shop\.git cannot be read"
    ) as error:
        git.resolve("main")
    assert "s3cr3t" not in str(error.value) + error.value.log


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    command = ["sh", "-c", f"sleep 30 & echo $! > {tmp_path}/child; wait"]
    assert run(command, Confinement(Account(None)), {}, folder=tmp_path, timeout=0.5)[0] == 124
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    until = time.monotonic() + 5
    while child.exists() and " Z " not in child.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_release_json_is_whole_or_absent(source, monkeypatch):
    release, upload = prepare(source)
    monkeypatch.setattr(json, "dumps", lambda *_args, **_options: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        release.build(upload)
    assert releases(source) == []


def test_what_a_run_with_a_strict_umask_has_left_closed_is_opened(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    for path, mode in (("uv/bin/uv", 0o700), ("uv/uv/__init__.py", 0o600), ("python/lib/.hidden", 0o640)):
        (tools / path).parent.mkdir(parents=True, exist_ok=True)
        (tools / path).touch()
        (tools / path).chmod(mode)
    (tools / "uv" / "link").symlink_to("/nowhere")
    (tools / ".uv-being-installed").mkdir(mode=0o700)
    for folder in [*tools.rglob("*/"), tools]:
        folder.chmod(0o700)
    release_install.open_to_all(tools)
    modes = {str(path.relative_to(tmp_path)): path.lstat().st_mode & 0o777 for path in [tools, *tools.rglob("*")]}
    assert modes.pop("tools/uv/link") == 0o777
    assert modes.pop("tools/.uv-being-installed") == 0o700
    files = {"tools/uv/uv/__init__.py": 0o644, "tools/python/lib/.hidden": 0o644}
    assert modes == dict.fromkeys(modes, 0o755) | files
    release_install.open_to_all(tmp_path / "missing")


def test_a_build_finds_uv_that_was_left_closed(tmp_path: Path) -> None:
    digests = release_install.hashes_of_uv(release_install.UV_VERSION, ())
    name = hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()[:8]
    uv = tmp_path / "tools" / f"uv-{release_install.UV_VERSION}-{name}" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.touch()
    uv.chmod(0o700)
    uv.parent.chmod(0o700)
    assert release_install.install_uv("", (), Settings(), tmp_path / "tools") == uv
    assert (uv.stat().st_mode & 0o777, uv.parent.stat().st_mode & 0o777) == (0o755, 0o755)


@pytest.fixture
def made(monkeypatch):
    """The virtualenvs that builds have made from nothing, each as the name of its release."""
    names: list[str] = []
    create = release_install.Installer.create

    def noted(installer, interpreter):
        names.append(installer.place.path.name)
        create(installer, interpreter)

    monkeypatch.setattr(release_install.Installer, "create", noted)
    return names


def deploy(source: Path, main: str, **options: object) -> Release:
    """Build a release with another text of its module, and make it live."""
    (source / "main.py").write_text(MAIN + main)
    release, upload = prepare(source, **options)
    release.build(upload)
    current = source.parent / "srv" / "current"
    current.unlink(missing_ok=True)
    current.symlink_to(f"releases/{release.path.name}")
    return release


def test_code_alone_gets_the_virtualenv_of_the_live_release(source, made):
    first = deploy(source, "")
    second = deploy(source, "other = 1\n")
    third = deploy(source, "other = 2\n")
    assert made == [first.path.name]
    for release in (second, third):
        assert (release.path / "venv" / "bin" / "python").exists()
        assert list((release.path / "src" / "__pycache__").glob("main.*.pyc"))


@pytest.mark.parametrize(
    "options",
    [{"build_commands": ["true"]}, {"extras": ["x"]}, {"build_environment": {"A": "1"}}, {"resolve": True}],
)
def test_another_way_to_install_makes_a_virtualenv_of_its_own(source, made, options):
    (source / "pyproject.toml").write_text(PYPROJECT + "[project.optional-dependencies]\nx = []\n")
    first = deploy(source, "")
    second = deploy(source, "other = 1\n", **options)
    assert made == [first.path.name, second.path.name]


def test_other_dependencies_make_a_virtualenv_of_their_own(source, made):
    first = deploy(source, "")
    (source / "pyproject.toml").write_text(PYPROJECT.replace('"1"', '"2"'))
    second = deploy(source, "")
    assert made == [first.path.name, second.path.name]


def test_a_virtualenv_that_somebody_has_changed_is_not_taken(source, made):
    first = deploy(source, "")
    (first.path / "venv" / "planted.pth").write_text("import os\n")
    second = deploy(source, "other = 1\n")
    assert made == [first.path.name, second.path.name]
    assert not (second.path / "venv" / "planted.pth").exists()


def test_a_virtualenv_in_which_code_has_run_is_not_taken(source, made, monkeypatch):
    install = release_install.Installer.install

    def needs_code(installer, wanted):
        if installer.unpacking:
            raise release_install.NeedsCodeError
        install(installer, wanted)

    monkeypatch.setattr(release_install.Installer, "install", needs_code)
    first = deploy(source, "")
    second = deploy(source, "other = 1\n")
    assert set(made) == {first.path.name, second.path.name}
