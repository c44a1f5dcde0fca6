"""Names, dependency forms, ranges and sentences of a release."""

from __future__ import annotations

import re

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import rules
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

REMOTE = "https://git.example.com/shop.git"
LISTING = "\n".join(
    [
        "a" * 40 + "\tHEAD",
        "a" * 40 + "\trefs/heads/main",
        "b" * 40 + "\trefs/heads/v1",
        "c" * 40 + "\trefs/tags/v1",
        "d" * 40 + "\trefs/tags/v1^{}",
        "e" * 40 + "\trefs/heads/feature/main",
    ]
)


def test_the_same_input_has_the_same_name_and_any_other_another():
    build = {"python": "3.11", "options": ["--no-binary"]}
    assert rules.release_name("abc", build) == rules.release_name("abc", dict(reversed(build.items())))
    assert rules.release_name("abc", build) != rules.release_name("abc", build | {"python": "3.12"})
    assert rules.release_name("abc", build) != rules.release_name("abd", build)


def test_a_name_says_what_it_is_of():
    assert rules.release_name("Shop_API-1.2.3+local", {}).startswith("shop-api-1.2.3-local-")


@pytest.mark.parametrize("source_id", ["Shop_API-1.2.3+local", "feature/main", "--x--", "ümlaut", "/"])
def test_a_name_has_only_letters_that_systemd_and_paths_allow(source_id):
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", rules.release_name(source_id, {}))


@pytest.mark.parametrize(
    ("version", "letter"), [("HEAD", "a"), ("main", "a"), ("v1", "d"), ("feature/main", "e")], ids=str
)
def test_a_version_is_a_tag_before_it_is_a_branch(version, letter):
    assert rules.pick_commit(LISTING, version, REMOTE) == letter * 40


def test_a_version_that_does_not_exist_is_named():
    with pytest.raises(
        ReleaseError, match=r"^app_source\.version: https://git\.example\.com/shop\.git has no .* v9\.$"
    ):
        rules.pick_commit(LISTING, "v9", REMOTE)
    with pytest.raises(ReleaseError, match=r"^app_source\.version: .* has no branch, tag or commit named"):
        rules.pick_commit(LISTING, "abcdef1", REMOTE)


@pytest.mark.parametrize("subdirectory", ["/etc", "../other", "a/../../b", "missing"])
def test_a_subdirectory_is_in_the_source(tmp_path, subdirectory):
    with pytest.raises(ReleaseError, match=r"^app_source\.subdirectory: "):
        rules.project_folder(tmp_path, subdirectory)


def test_a_subdirectory_cannot_leave_by_a_link(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "out").symlink_to(tmp_path)
    with pytest.raises(ReleaseError, match="no folder out"):
        rules.project_folder(tmp_path / "src", "out")


def test_the_entry_point_of_the_variable_wins():
    declared = {"tool": {"fastapi": {"entrypoint": "shop.main:app"}}}
    assert rules.find_entrypoint("", declared) == "shop.main:app"
    assert rules.find_entrypoint("shop.other:api.app", declared) == "shop.other:api.app"
    assert rules.find_entrypoint("shop.main:create_app()", declared) == "shop.main:create_app()"


@pytest.mark.parametrize(
    "entrypoint", ["", "shop", "shop:", ":app", "shop/main:app", "shop.main:create(1)", "m:a.create()", "a b:c"]
)
def test_an_entry_point_that_is_none_is_refused(entrypoint):
    with pytest.raises(ReleaseError, match=r"^app_entrypoint: .*module:attribute"):
        rules.find_entrypoint(entrypoint, {})


@pytest.mark.parametrize(
    ("version", "range_", "inside"),
    [
        ("27.0.1", ">=25,<28", True),
        ("28", ">=25,<28", False),
        ("20.1.0", ">=25,<28", False),
        ("25", ">=25.0.0", True),
        ("0.36.0rc1", ">=0.36,<1", True),
        ("1.0.0+local", "<1", False),
        ("2.0", "!=2", False),
        ("9.9", "", True),
        ("0.10", ">0.9", True),
    ],
)
def test_versions_are_compared_as_numbers(version, range_, inside):
    assert rules.in_range(version, range_) is inside


def test_only_what_the_app_chose_outside_the_range_is_unfit():
    requirements = ["gunicorn>=25,<28", "uvicorn[standard]>=0.36,<1", "uvicorn-worker>=0.4,<1"]
    installed = {"gunicorn": "20.1.0", "uvicorn": "0.54.0"}
    assert rules.unfit(installed, requirements) == {"gunicorn": ("20.1.0", ">=25,<28")}


@pytest.mark.parametrize(
    ("uvicorn", "worker", "fits"),
    [("0.30.0", "0.3.0", True), ("0.35.0", "0.3.0", True), ("0.36.0", "0.3.0", False), ("0.36.0", "0.4.0", True)],
)
def test_a_worker_class_that_calls_what_uvicorn_has_no_more_is_unfit(uvicorn, worker, fits):
    requirements = ["uvicorn>=0.30,<1", "uvicorn-worker>=0.3,<1"]
    found = rules.unfit({"uvicorn": uvicorn, "uvicorn-worker": worker}, requirements)
    assert found == ({} if fits else {"uvicorn-worker": ("0.3.0", ">=0.4 with uvicorn from 0.36 on")})


BUILD = "error: Failed to build `psy==1`\n  cause: The build backend returned an error\n  cause: Call to `b` failed\n"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Error: pg_config executable not found.\n", "not found; add libpq-dev, python3-dev and build-essential to"),
        (
            "a.c:1: fatal error: Python.h: No such file\nerror: x",
            "x; add python3-dev and build-essential to app_packages",
        ),
        (
            "error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-g++'",
            "add python3-dev and build-essential to app_packages",
        ),
        (
            "error: command 'gcc' failed: No such file or directory",
            "add python3-dev and build-essential to app_packages, or set",
        ),
        ("error: can't find Rust compiler\nneeds cargo", "add cargo to app_packages"),
        ("RuntimeError: no connection", "RuntimeError: no connection; add what it needs to app_packages"),
    ],
)
def test_a_build_that_fails_names_the_package_and_what_helps(said, advice):
    explained = rules.explain_install(f"{BUILD}\n         [stderr]\n         {said}\n\nhint: x", "requirements.txt")
    assert explained.startswith("requirements.txt: psy==1 has no wheel for this Python, and cannot be built: ")
    assert advice in explained
    assert "\n" not in explained


@pytest.mark.parametrize(("python", "helped"), [("3.13.5", True), ("3.10.13", False)])
def test_an_app_that_is_older_than_its_python_is_told_which_to_take(python, helped):
    output = (
        f"Using Python {python} environment at: /srv/x/venv\n   Building pyyaml==6.0\n   Building greenlet==1.1.2\n"
        "   Building old-json==3.6.9\nerror: Failed to download and build `old-json==3.6.9`\n"
        "  cause: Failed to parse: /srv/x/src/pyproject.toml\n  cause: TOML parse error at line 1, column 1\n"
    )
    explained = rules.explain_install(output, "requirements.txt")
    assert explained.startswith(
        "requirements.txt: old-json==3.6.9 has no wheel for this Python, and cannot be built: TOML parse error at"
    )
    assert ('a wheel for, such as "3.10": 3 packages here have none.' in explained) is helped
    assert explained.endswith(".")


def test_a_package_that_is_often_built_names_all_that_it_needs_at_once():
    said = (
        BUILD.replace("psy==1", "psycopg2==2.9.6") + "\n[stderr]\nerror: [Errno 2] No such file or directory: 'gcc'\n"
    )
    assert "; add libpq-dev, python3-dev and build-essential to app_packages" in rules.explain_install(
        said, "requirements.txt"
    )


def test_the_app_itself_that_cannot_be_built_has_nothing_to_do_with_wheels():
    output = BUILD.replace("psy==1", "shop @ file:///srv/shop") + "\n[stderr]\nValueError: no files\n"
    explained = rules.explain_install(output, "pyproject.toml")
    assert explained.startswith("pyproject.toml: shop cannot be built: ValueError: no files; add what it needs")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "  cause: Because old==1 has no wheels with a matching Python ABI tag (e.g., `cp311`) and x.\n\n"
            "hint: You require CPython 3.11, but we only found wheels for `old` (v1) with the following Python ABI"
            " tag: `cp39`",
            r": old==1 has no wheel for this Python and this machine; it has those with the Python ABI tag: `cp39`\.",
        ),
        (
            "error: Distribution `old==1 @ registry+x` can't be installed because it doesn't have a source",
            r": old==1 has no wheel for this Python and this machine\. Set app_python",
        ),
        (
            "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.",
            "run uv lock and commit it.",
        ),
        ("error: Hash mismatch for `x==1`", "does not have the hash"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "does not have the hash"),
        ("In --require-hashes mode, all requirements must have their versions pinned", "others have none"),
        (
            "error: Failed to fetch\n  cause: dns error\n  cause: no such host",
            "look at app_index_url, .*: no such host",
        ),
        (
            "  cause: Because x==1 and y,\n         we cannot.\n\nhint: go",
            "cannot be installed: Because x==1 and y, we cannot.",
        ),
        (
            "error: unexpected argument '--x' found\n\nFor more information, try '--help'.",
            "unexpected argument '--x' found",
        ),
    ],
)
def test_a_failed_installation_is_one_sentence(output, sentence):
    explained = rules.explain_install(output, "requirements.txt")
    assert re.search(sentence, explained)
    assert "\n" not in explained


def test_the_exception_ends_a_traceback():
    output = "Traceback (most recent call last):\n  File x, line 1\na.Error: 1 error\nDATABASE_URL\n  missing\n"
    assert rules.last_error(output) == "a.Error: 1 error DATABASE_URL missing"
    assert rules.last_error("usage: app\nno configuration\n") == "no configuration"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ModuleNotFoundError: No module named 'httpx'", "No package that uv.lock names has brought it; write the one"),
        ("ModuleNotFoundError: No module named 'google.cloud'", "write the one that has google there."),
        ("ModuleNotFoundError: No module named 'distutils'", "Python 3.12 and newer have no distutils; set app_python"),
        ("ModuleNotFoundError: No module named 'shop.main'", "write PYTHONPATH: src in app_environment."),
        ("ModuleNotFoundError: No module named 'common'", "write PYTHONPATH: ../.. in app_environment."),
        ("ModuleNotFoundError: No module named 'beside'", "write PYTHONPATH: .. in app_environment."),
        ("ModuleNotFoundError: No module named 'main.extra'", ""),
        ("ImportError: cannot import name 'httpx'", ""),
    ],
)
def test_where_a_module_is_that_was_not_found(tmp_path, said, sentence):
    project = tmp_path / "services" / "api"
    for folder in (tmp_path / "common", project / "src" / "shop"):
        folder.mkdir(parents=True)
    for file in (project / "main.py", project.parent / "beside.py", tmp_path.parent / "httpx.py"):
        file.touch()
    (project / "requirements.txt").write_text("fastapi==1 --hash=sha256:00\n")
    hashed = rules.missing_module("ModuleNotFoundError: No module named 'httpx'", tmp_path, project, "requirements.txt")
    assert hashed.endswith("write the one that has httpx there, with a version and a hash as the others have.")
    told = rules.missing_module(said, tmp_path, project, "uv.lock")
    assert sentence in told
    assert bool(told) is bool(sentence)


def test_a_url_is_shown_without_its_user():
    assert rules.plain_url("https://bot:s3cr3t%21x@git.example.com/x.git") == "https://git.example.com/x.git"


@pytest.mark.parametrize("says", ["npm ERR!", "npm error"])
def test_a_failure_of_npm_is_told_by_its_reason_and_not_by_the_log_that_is_gone(says):
    lines = ["> vite build", "npm WARN deprecated rimraf@3.0.2", f"{says} code ENOENT", f"{says} syscall mkdir"]
    lines += [f"{says} path /usr/local/lib/node_modules", f"{says} errno -2"]
    lines += [f"{says} enoent ENOENT: no such file or directory, mkdir '/usr/local/lib'", f"{says} enoent "]
    lines += [f"{says} A complete log of this run can be found in:", f"{says}     /srv/shop/cache/debug-0.log"]
    lines += [f"{says} code 254", f"{says} command failed"]
    told = rules.last_line("\n".join(lines))
    assert told.startswith("code ENOENT; ENOENT: no such file or directory, mkdir '/usr/local/lib'")
    assert "debug-0" not in told
    assert "254" not in told


def test_an_index_that_cannot_be_reached_is_named():
    said = [
        "error: Failed to fetch: `https://wheels.example.com/cpu/torch/`",
        "  cause: error sending request for url (https://wheels.example.com/cpu/torch/)",
        "  cause: failed to lookup address information: Name or service not known",
    ]
    told = rules.explain_install("\n".join(said), "requirements.txt")
    assert told.startswith("The index https://wheels.example.com/cpu/torch/ cannot be reached; look at app_index_url,")
    assert rules.explain_install("dns error", "requirements.txt").startswith("The index cannot be reached; look at")
    with_password = rules.explain_install("connection refused for url (https://me:pl4nted@wheels.example.com/x)", "a")
    assert "pl4nted" not in with_password.partition(" cannot be reached")[0]
