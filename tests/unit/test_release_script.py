"""What script/release does with a version that is new, made before, or published."""

import importlib.machinery
import importlib.util
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "script" / "release"
CHANGELOG = (
    "releases:\n  0.1.0:\n    modules:\n    - description: Read it\n      name: old\n  0.2.0:\n    changes: {}\n"
)


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Run script/release in a small repository; returns the command that would write the changelog."""
    loader = importlib.machinery.SourceFileLoader("release_script", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("release_script", loader))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader.exec_module(module)
    for name, value in (("ROOT", tmp_path), ("CHANGELOGS", tmp_path / "changelogs"), ("BIN", tmp_path / "bin")):
        monkeypatch.setattr(module, name, value)
    (tmp_path / "changelogs" / "fragments").mkdir(parents=True)
    (tmp_path / "changelogs" / "changelog.yaml").write_text(CHANGELOG)
    (tmp_path / "galaxy.yml").write_text("name: fastapi\nversion: 0.2.0\n")
    (tmp_path / "plugins" / "modules").mkdir(parents=True)
    for name in ("old", "new"):
        (tmp_path / "plugins" / "modules" / f"{name}.py").write_text("version_added: 0.1.0\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    commands = []
    real = subprocess.run

    def run(command, **options):
        if command[0] == "git":
            return real(command, **options)
        commands.append([Path(command[0]).name, *command[1:]])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(module.subprocess, "run", run)

    def make(version):
        monkeypatch.setattr("sys.argv", ["script/release", version])
        with pytest.raises(SystemExit) as ended:
            module.main()
        return commands[-1] if ended.value.code == 0 else ended.value.code

    return make


def tag(folder, name):
    git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "a"], check=True)
    subprocess.run([*git, "tag", name], check=True)


def test_a_new_version_needs_a_summary(release, tmp_path):
    assert release("0.3.0") == (
        "changelogs/fragments/release.yml is missing: write the release_summary of this version there."
    )
    assert "version: 0.2.0" in (tmp_path / "galaxy.yml").read_text()
    (tmp_path / "changelogs" / "fragments" / "release.yml").write_text("release_summary: Better.\n")
    assert release("0.3.0") == ["antsibull-changelog", "release"]
    assert "version: 0.3.0" in (tmp_path / "galaxy.yml").read_text()


def test_a_version_without_a_tag_takes_more_fragments(release, tmp_path):
    assert release("0.2.0") == ["antsibull-changelog", "release", "--update-existing"]
    modules = tmp_path / "plugins" / "modules"
    assert (modules / "old.py").read_text() == "version_added: 0.1.0\n"
    assert (modules / "new.py").read_text() == "version_added: 0.2.0\n"


def test_a_published_version_is_not_made_again(release, tmp_path):
    tag(tmp_path, "v0.2.0")
    assert release("0.2.0") == "The tag v0.2.0 is there already: write the next version."
