# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking the virtualenv of the live release for the next one, when nothing that decides about it has changed.

Only one that was made of wheels alone, while no code of a package could run, and that root has copied since. What is
installed depends on files of the source and on settings; where it may depend on more, there is no reuse.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.forms import (
    FORMS,
    is_list,
    requirements,
    text_of,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.install import Wanted
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, last_line

# What uv reads in the folder of a project and above it, beside its form, and what it reads of the host.
CONFIGURED = ("pyproject.toml", "uv.toml", "uv.lock")
OF_HOST = Path("/etc/uv/uv.toml")

# Lists of requirements that tell uv which versions to take.
ADDED = ("constraint-dependencies", "override-dependencies", "dev-dependencies")

# The file that makes a folder a virtualenv.
CONFIGURATION = "pyvenv.cfg"

# A line of a requirements.txt that names packages of an index, or says which index that is.
_OF_INDEX = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*([=<>!~][^@/]*)?(;.*)?"
    r"|(-i|--index-url|--extra-index-url)[ =]https?://\S+|--only-binary[ =].*|--require-hashes|--pre"
)


def inputs(wanted: Wanted, source: Path, interpreter: Path, settings: Mapping[str, Any]) -> str:
    """A hash of all that decides what is installed; empty when that may depend on files that are not looked at here.

    `settings` are those of the installation, as JSON can have them.
    """
    options = settings.get("install_options", ())
    if wanted.local or any(re.match(r"(-f|--find-links)", option) for option in options):
        return ""
    if not _is_on_network(settings.get("index_url") or "https://"):
        return ""
    files = _files(wanted, source)
    if any(path.is_symlink() for path in files):  # which root does not follow
        return ""
    texts = {os.path.relpath(path, source): text_of(path) for path in (*files, OF_HOST) if path.is_file()}
    if not _of_index(wanted, texts):
        return ""
    known = interpreter.stat()
    everything = {
        "form": wanted.form,
        "arguments": list(wanted.arguments),
        "project": wanted.project.relative_to(source).as_posix(),
        "texts": texts,
        # A new package of the same Python has other files.
        "interpreter": [str(interpreter), known.st_size, known.st_mtime_ns],
        **settings,
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _files(wanted: Wanted, source: Path) -> list[Path]:
    """What uv reads of the source, where it is there."""
    folders = [wanted.project, *(folder for folder in wanted.project.parents if folder.is_relative_to(source))]
    paths = [folder / name for folder in folders for name in CONFIGURED]
    return [*paths, wanted.project / wanted.form] if wanted.form in FORMS or is_list(wanted.form) else paths


def _of_index(wanted: Wanted, texts: Mapping[str, str]) -> bool:
    """Whether all that is installed comes from an index."""
    try:
        trees = {path: tomllib.loads(text) for path, text in texts.items() if path.endswith((".toml", ".lock"))}
        if any("find-links" in options or not _has_indexes(options) for options in map(_options_of_uv, trees.values())):
            return False
        if wanted.form == "uv.lock":
            locks = [tree for path, tree in trees.items() if Path(path).name == "uv.lock"]
            return all(_is_remote(package["source"]) for lock in locks for package in lock["package"])
        if wanted.form == "pylock.toml":
            locks = [tree for path, tree in trees.items() if Path(path).name == "pylock.toml"]
            return not any(_is_beside(package) for lock in locks for package in lock["packages"])
        sources = [source for tree in trees.values() for source in _options_of_uv(tree).get("sources", {}).values()]
        if any(not set(source) <= {"index"} for source in sources):
            return False
        lines = [*_listed(wanted), *(_depended(trees) if wanted.form == "pyproject.toml" else [])]
        lines += [line for tree in trees.values() for name in ADDED for line in _options_of_uv(tree).get(name, [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # what is wrong with it, the installer says better
    return all(_OF_INDEX.fullmatch(line) and not (wanted.project / line).exists() for line in lines)


def _options_of_uv(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a pyproject.toml or a uv.toml says to uv."""
    found: Mapping[str, Any] = tree.get("tool", {}).get("uv", {}) if "tool" in tree else tree
    return found


def _has_indexes(options: Mapping[str, Any]) -> bool:
    """Whether all indexes that are named are on the network."""
    urls = [index["url"] for index in options.get("index", [])]
    urls += [options[name] for name in ("index-url", "default-index") if name in options]
    return all(map(_is_on_network, [*urls, *options.get("extra-index-url", [])]))


def _is_on_network(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _is_remote(source: Mapping[str, str]) -> bool:
    """Whether uv.lock has a package from an index on the network, or installs nothing of it."""
    return set(source) == {"virtual"} or _is_on_network(source.get("registry", ""))


def _is_beside(package: Mapping[str, Any]) -> bool:
    """Whether pylock.toml has a package from a path or a repository."""
    files = [*package.get("wheels", []), package.get("sdist", {})]
    return bool({"directory", "archive", "vcs"} & set(package)) or any("path" in file for file in files)


def _listed(wanted: Wanted) -> list[str]:
    """The lines of a list of requirements, or the requirements that are given to uv."""
    if is_list(wanted.form):
        return list(requirements(text_of(wanted.project / wanted.form)))
    return [] if "-r" in wanted.arguments else list(wanted.arguments)


def _depended(trees: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All that a pyproject.toml may ask for."""
    found: list[str] = []
    for tree in trees.values():
        project = tree.get("project", {})
        of_groups = [each for group in tree.get("dependency-groups", {}).values() for each in group]
        found += project.get("dependencies", [])
        found += [each for extra in project.get("optional-dependencies", {}).values() for each in extra]
        found += [each for each in of_groups if isinstance(each, str)]  # else another group is included
    return found


def digest(venv: Path) -> str:
    """A hash of names, modes, sizes and times of a virtualenv whose files are all root's alone; else empty.

    It is the same for a `copy`: programs are hashed with a placeholder for the path, which they have in their text.
    """
    found: list[str] = []
    return _hash(found) if _look(str(venv), "", found, str(venv), os.geteuid()) else ""


def _look(folder: str, below: str, found: list[str], venv: str, owner: int) -> bool:
    """Add a line for each entry of a folder; returns whether all of them are the owner's alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            known = entry.stat(follow_symlinks=False)
            linked = stat.S_ISLNK(known.st_mode)
            if known.st_uid != owner or (known.st_mode & 0o022 and not linked):
                return False
            name = f"{below}{entry.name}"
            if linked:
                what = str(Path(entry.path).readlink())
            elif stat.S_ISDIR(known.st_mode):
                what = ""
                if not _look(entry.path, f"{name}/", found, venv, owner):
                    return False
            elif below == "bin/" or name == CONFIGURATION:
                text = Path(entry.path).read_bytes().replace(os.fsencode(venv), b"@")
                what = hashlib.sha256(text).hexdigest()
            else:
                what = f"{known.st_size} {known.st_mtime_ns}"
            found.append(f"{name}\0{known.st_mode}\0{what}")
    return True


def _hash(found: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(found)).encode(errors="surrogateescape")).hexdigest()


def copy(venv: Path, target: Path) -> None:
    """Copy a virtualenv, with its bytecode, to where another release has it."""
    command = ["cp", "--archive", "--reflink=auto", "--no-target-directory", str(venv), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # pylint: disable=ansible-bad-function
    if done.returncode:
        raise ReleaseError(f"The virtualenv {venv} cannot be copied: {last_line(done.stderr)}", done.stderr)
    for path in (target / CONFIGURATION, *(target / "bin").iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes()
        if os.fsencode(venv) in text:
            path.write_bytes(text.replace(os.fsencode(venv), os.fsencode(target)))
