"""What tests of builds have in common: a source, a release of it without accounts and units, and packages."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import build as release_build
from ansible_collections.production.fastapi.plugins.module_utils._release import install as release_install
from ansible_collections.production.fastapi.plugins.module_utils._release.build import Release, Spec
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account

MAIN = "async def app(scope, receive, send):\n    pass\n"
UV = Path(__file__).parents[3] / ".venv" / "bin" / "uv"
needs_uv = pytest.mark.skipif(not UV.is_file(), reason="uv is not among the tools")


def build_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build as whoever runs the tests, with the uv of the tools."""
    monkeypatch.setattr(Account, "find", classmethod(lambda cls, _name: cls(None)))
    monkeypatch.setattr(release_build.Release, "_uv", lambda _release: UV)
    monkeypatch.setattr(release_install, "pip_command", lambda: ["false"])


def release_of(folder: Path, /, **options: object) -> Release:
    """The release of an app at `folder`/main.py; options are those of `Spec`, and the default source is git."""
    wanted = {"source": {"git": f"file://{folder}"}, "entrypoint": "main:app"}
    release = Release(
        Spec(name="hello", directory=folder.parent / "srv", user="hello", **{**wanted, **options}),  # type: ignore[arg-type]
        warn=lambda _text: None,
    )
    release.resolve()
    release.folders(check=False)
    return release


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, which becomes a repository; returns what it says."""
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    if not (folder / ".git").exists():
        subprocess.run([*command, "init", "-q", "-b", "main"], cwd=folder, check=True)
    return subprocess.run([*command, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    """Commit all that is there."""
    git(folder, "add", ".")
    git(folder, "commit", "--allow-empty", "-qm", "x")


def write_wheel(folder: Path, name: str, version: str = "1", requires: tuple[str, ...] = ()) -> Path:
    """A package with a module of its own name."""
    about = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", *(f"Requires-Dist: {r}\n" for r in requires)]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{about}/METADATA", "".join(lines))
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def packages(release: Release) -> dict[str, str]:
    """`{package: version}` of the virtualenv of a release."""
    found = release.path.glob("venv/lib/python*/site-packages/*.dist-info")
    names = (path.name.removesuffix(".dist-info").rpartition("-") for path in found)
    return {name: version for name, _unused, version in names}
