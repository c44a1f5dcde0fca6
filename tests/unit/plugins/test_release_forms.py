"""Which file of a source says what the app depends on, and what becomes of the locks of other tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import forms
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

NAMED = '[project]\nname = "shop"\n'


def project(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text("")
    return folder


@pytest.mark.parametrize("count", range(1, 5))
def test_forms_are_detected_in_their_order(tmp_path, count):
    folder = project(tmp_path, *forms.FORMS[-count:])
    assert forms.detect_form(folder, folder, "auto") == (forms.FORMS[-count] if count < 4 else "uv.lock")


def test_the_lock_of_a_workspace_is_found_above_the_app(tmp_path):
    project(tmp_path, "uv.lock", "pyproject.toml")
    app = project(tmp_path / "services" / "api", "pyproject.toml", "requirements.txt")
    assert forms.detect_form(tmp_path, app, "auto") == "uv.lock"
    assert forms.detect_form(tmp_path, app, "requirements.txt") == "requirements.txt"


def test_a_lock_above_the_source_is_not_looked_at(tmp_path):
    project(tmp_path, "uv.lock")
    source = project(tmp_path / "src", "pyproject.toml")
    assert forms.detect_form(source, source, "auto") == "pyproject.toml"


def test_a_lock_above_says_nothing_about_a_folder_without_project(tmp_path):
    project(tmp_path, "uv.lock")
    app = project(tmp_path / "tools", "requirements.txt")
    assert forms.detect_form(tmp_path, app, "auto") == "requirements.txt"


def test_missing_forms_are_said(tmp_path):
    with pytest.raises(ReleaseError, match=r"^app_source: the source needs one of uv\.lock, pylock\.toml"):
        forms.detect_form(tmp_path, tmp_path, "auto")
    project(tmp_path, "pyproject.toml")
    with pytest.raises(ReleaseError, match=r"^app_dependencies: the source has no uv\.lock; it has pyproject\.toml\.$"):
        forms.detect_form(tmp_path, tmp_path, "uv.lock")


def test_a_list_elsewhere_is_named_from_the_app_or_from_the_top_of_the_source(tmp_path):
    app = project(tmp_path / "backend", "main.py")
    project(tmp_path / "docker" / "backend", "requirements.txt")
    project(app / "requirements", "production.txt")
    assert forms.detect_form(tmp_path, app, "requirements/production.txt") == "requirements/production.txt"
    assert forms.detect_form(tmp_path, app, "docker/backend/requirements.txt") == "../docker/backend/requirements.txt"
    with pytest.raises(
        ReleaseError,
        match=r"beside the app; or set app_dependencies to backend/requirements/production\.txt or"
        r" docker/backend/requirements\.txt, which it has\.$",
    ):
        forms.detect_form(tmp_path, app, "auto")
    with pytest.raises(ReleaseError, match=r"^app_dependencies: the source has no file prod\.txt; it has backend/"):
        forms.detect_form(tmp_path, app, "prod.txt")


def test_a_list_that_leads_out_of_the_source_is_not_taken(tmp_path):
    app = project(tmp_path / "source", "main.py")
    project(tmp_path, "secrets.txt")
    (app / "linked.txt").symlink_to(tmp_path / "secrets.txt")
    for wanted in ("linked.txt", "../secrets.txt"):
        with pytest.raises(ReleaseError, match=r"^app_dependencies: the source has no "):
            forms.detect_form(app, app, wanted)


def test_a_list_elsewhere_is_read_as_a_requirements_txt(tmp_path):
    app = project(tmp_path / "backend", "poetry.lock")
    (tmp_path / "base.txt").write_text("gunicorn==23.0.0\n")
    form = forms.detect_form(tmp_path, app, "base.txt")
    assert forms.pinned(form, tmp_path, app) == {"gunicorn": "23.0.0"}
    with pytest.raises(ReleaseError, match=r"^app_extras: \.\./base\.txt has no postgres"):
        forms.Chosen(["postgres"]).check(form, {})


@pytest.mark.parametrize(
    ("files", "named", "command"),
    [
        (["poetry.lock"], "poetry.lock", "poetry export -o requirements.txt"),
        (["pdm.lock"], "pdm.lock", "pdm export --prod -o requirements.txt"),
        (["Pipfile", "Pipfile.lock"], "Pipfile.lock", "pipenv requirements --hash > requirements.txt"),
        (["Pipfile"], "Pipfile", "pipenv lock && pipenv requirements"),
        (["environment.yml"], "environment.yml", "pip list --format=freeze > requirements.txt"),
        (["environment.yaml", "setup.py"], "environment.yaml", "pip list --format=freeze > requirements.txt"),
        (["setup.py", "conda-lock.yml"], "conda-lock.yml", "pip list --format=freeze > requirements.txt"),
        (["setup.py"], "setup.py", "uv pip compile setup.py -o requirements.txt"),
    ],
)
def test_the_lock_of_another_tool_is_refused_with_a_command(tmp_path, files, named, command):
    folder = project(tmp_path, *files)
    with pytest.raises(ReleaseError) as error:
        forms.detect_form(folder, folder, "auto")
    assert f"are in {named}, " in str(error.value)
    assert command in str(error.value)
    assert "app_dependencies" not in str(error.value), "there is nothing else to take"
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("lock", ["poetry.lock", "pdm.lock", "Pipfile.lock", "environment.yml"])
def test_a_project_beside_the_lock_of_another_tool_is_taken_when_that_is_said(tmp_path, lock):
    folder = project(tmp_path, lock, "pyproject.toml")
    (folder / "pyproject.toml").write_text(NAMED)
    with pytest.raises(
        ReleaseError, match=r"or set app_dependencies: pyproject\.toml if its newest versions are meant"
    ):
        forms.detect_form(folder, folder, "auto")
    assert forms.detect_form(folder, folder, "pyproject.toml") == "pyproject.toml"


def test_setup_py_is_how_a_project_is_built_unless_pyproject_toml_has_only_settings_of_tools(tmp_path):
    folder = project(tmp_path, "setup.py", "pyproject.toml")
    for described in (NAMED, '[build-system]\nrequires = ["setuptools"]\n'):
        (folder / "pyproject.toml").write_text(described)
        assert forms.detect_form(folder, folder, "auto") == "pyproject.toml"
    (folder / "pyproject.toml").write_text("[tool.black]\nline-length = 100\n")
    with pytest.raises(ReleaseError, match=r"are in setup\.py"):
        forms.detect_form(folder, folder, "auto")


@pytest.mark.parametrize("lock", ["uv.lock", "pylock.toml"])
def test_a_lock_that_is_read_goes_before_those_of_other_tools(tmp_path, lock):
    folder = project(tmp_path, lock, "pyproject.toml", *forms.FOREIGN)
    assert forms.detect_form(folder, folder, "auto") == lock


def test_requirements_beside_a_lock_have_to_be_a_lock(tmp_path):
    folder = project(tmp_path, "poetry.lock", "requirements.txt")
    with pytest.raises(ReleaseError, match=r"are in poetry\.lock, .* app_dependencies: requirements\.txt"):
        forms.detect_form(folder, folder, "auto")
    (folder / "requirements.txt").write_text("fastapi\nuvicorn==0.34.0\n")
    with pytest.raises(
        ReleaseError, match=r"are in poetry\.lock, .*; a version for fastapi makes a lock of requirements\.txt, or set"
    ):
        forms.detect_form(folder, folder, "auto")
    (folder / "requirements.txt").write_text("fastapi==0.115.0 ; python_version >= '3.11'\nuvicorn[standard]==0.34.0\n")
    assert forms.detect_form(folder, folder, "auto") == "requirements.txt"


@pytest.mark.parametrize("other", ["Pipfile", "environment.yml", "setup.py"])
def test_requirements_of_a_person_go_before_what_is_no_lock(tmp_path, other):
    folder = project(tmp_path, other, "requirements.txt")
    (folder / "requirements.txt").write_text("fastapi\n")
    assert forms.detect_form(folder, folder, "auto") == "requirements.txt"


@pytest.mark.parametrize(
    ("text", "locked"),
    [
        ("a==1\n# a comment\nb[x,y]==2.0.post1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n", True),
        ("--index-url https://x\na==1 # via b\nb @ https://x/b.whl\n.\n-e .\n./lib\n", True),
        ("a==1\nb>=2\n", False),
        ("a==1.*\n", False),
        ("a\n", False),
        ("-r base.txt\na==1\n", False),
        ("# nothing\n", False),
    ],
)
def test_a_file_of_requirements_is_a_lock_when_each_has_a_version(text, locked):
    assert forms.pins_all(text) is locked


def test_pins_are_those_that_hold_on_every_host():
    text = "Uvicorn[standard]==0.34.0 --hash=sha256:00\ngunicorn==20 ; sys_platform == 'win32'\nb>=2\nC_d==1.0rc1\n"
    assert forms.pins_of(text) == {"uvicorn": "0.34.0", "c-d": "1.0rc1"}
    assert forms.pins_of("a==0.1.*\nb[x] == 2.*\nc~=1.2.3\nd~=1.2\n") == {"a": "0.1", "b": "2", "c": "1.2.3"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_list_that_powershell_has_written_is_read(tmp_path, encoding):
    start = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "requirements.txt").write_bytes(f"{start}uvicorn==0.20.0\r\n".encode(encoding))
    assert forms.pinned("requirements.txt", tmp_path, tmp_path) == {"uvicorn": "0.20.0"}


UV_LOCK = """
version = 1
[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [
    { name = "fastapi" },
    { name = "uvicorn", extra = ["standard"] },
    { name = "forked", version = "1" },
]
[package.optional-dependencies]
watch-it = [{ name = "uvicorn", extra = ["watch"] }]
[package.dev-dependencies]
dev = [{ name = "gunicorn" }]
[[package]]
name = "fastapi"
version = "0.115.0"
dependencies = [{ name = "starlette" }]
[[package]]
name = "starlette"
version = "0.40.0"
[[package]]
name = "uvicorn"
version = "0.34.0"
[package.optional-dependencies]
standard = [{ name = "httptools" }]
watch = [{ name = "watchfiles" }]
[[package]]
name = "httptools"
version = "0.6.4"
[[package]]
name = "watchfiles"
version = "1"
[[package]]
name = "gunicorn"
version = "20.1.0"
[[package]]
name = "forked"
version = "1"
[[package]]
name = "forked"
version = "2"
"""
PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "uvicorn"
version = "0.34.0"
[[packages]]
name = "gunicorn"
version = "20.1.0"
marker = "sys_platform == 'win32'"
"""


def test_what_uv_lock_pins_is_what_the_dependencies_of_the_project_lead_to(tmp_path):
    member = project(tmp_path / "services" / "api")
    (member / "pyproject.toml").write_text(NAMED)
    (tmp_path / "uv.lock").write_text(UV_LOCK)
    pins = {"fastapi": "0.115.0", "starlette": "0.40.0", "uvicorn": "0.34.0", "httptools": "0.6.4"}
    assert forms.pinned("uv.lock", tmp_path, member) == pins
    assert forms.pinned("uv.lock", tmp_path, member, forms.Chosen(["Watch_it"])) == pins | {"watchfiles": "1"}
    assert forms.pinned("uv.lock", tmp_path, member, forms.Chosen(groups=["dev"])) == pins | {"gunicorn": "20.1.0"}


def test_pylock_and_requirements_pin_what_they_have_for_every_host(tmp_path):
    (tmp_path / "pylock.toml").write_text(PYLOCK)
    (tmp_path / "requirements.txt").write_text("gunicorn==20.1.0\n")
    assert forms.pinned("pylock.toml", tmp_path, tmp_path) == {"uvicorn": "0.34.0"}
    assert forms.pinned("requirements.txt", tmp_path, tmp_path) == {"gunicorn": "20.1.0"}
    assert forms.pinned("pyproject.toml", tmp_path, tmp_path) == {}
    (tmp_path / "pylock.toml").write_text("packages = 1\n")
    assert forms.pinned("pylock.toml", tmp_path, tmp_path) == {}
