# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a transaction, and how they travel from the controller to the host."""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

GENERATION = "@GENERATION@"


class ConfigError(Exception):
    """A sentence for the person who runs the play."""


@dataclass(frozen=True)
class ConfigFile:
    """One file as the host should have it; owner and group are names or ids, `rendered` is false for a copy."""

    dest: str
    content: bytes = field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secret: bool = False
    rendered: bool = True


def check_files(files: Iterable[ConfigFile]) -> None:
    """Raises ConfigError unless every destination is one plain, absolute path of its own."""
    seen: set[str] = set()
    for file in files:
        dest = file.dest
        plain = dest.startswith("/") and not dest.startswith("//") and posixpath.normpath(dest) == dest != "/"
        if not plain or not dest.isprintable():
            raise ConfigError(
                f"files: dest {dest!r} is not a plain absolute path; "
                "write it like /etc/nginx/nginx.conf, without `..`, double or trailing slashes."
            )
        if dest in seen:
            raise ConfigError(f"files: dest {dest} appears twice; give each file its own.")
        seen.add(dest)
    for dest in seen:
        for folder in parents(dest):
            if folder in seen:
                raise ConfigError(f"files: {folder} cannot be a file and the folder of {dest} at once; rename one.")


def parents(path: str) -> list[str]:
    """The folders above an absolute path, outermost first, without `/`."""
    names = path.split("/")[1:-1]
    return ["/" + "/".join(names[:depth]) for depth in range(1, len(names) + 1)]


def with_generation(files: Iterable[ConfigFile]) -> tuple[str, list[ConfigFile]]:
    """A digest of sixteen hexadecimal digits over paths, contents, owners and modes, and the files that carry it.

    `@GENERATION@` stands for it, except in files that are copied as they are.
    """
    files = list(files)
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.dest):
        digest.update(json.dumps([file.dest, file.owner, file.group, file.mode, len(file.content)]).encode())
        digest.update(file.content)
    generation = digest.hexdigest()[:16] if files else ""
    old, new = GENERATION.encode(), generation.encode()
    return generation, [
        replace(file, content=file.content.replace(old, new)) if file.rendered else file for file in files
    ]


def encode(files: Iterable[ConfigFile]) -> str:
    """The files as one compressed string, which Ansible can pass as a single argument that it never logs."""
    plain = [asdict(file) | {"content": file.content.decode("latin-1")} for file in files]
    return base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()


def decode(payload: str) -> list[ConfigFile]:
    """The files in a payload of `encode`, checked."""
    plain = json.loads(zlib.decompress(base64.b64decode(payload)))
    files = [ConfigFile(**file | {"content": file["content"].encode("latin-1")}) for file in plain]
    check_files(files)
    return files
