# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Nginx serves on a host besides our sites, and which of its files are still those of the package."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE
from ansible_collections.production.fastapi.plugins.module_utils._nginx.syntax import Directive, NginxSyntaxError, parse

FOLDER = "/etc/nginx"
MAIN = f"{FOLDER}/nginx.conf"
OURS = f"{FOLDER}/production.fastapi/"
DEFAULT_SITE = f"{FOLDER}/sites-enabled/default"
DEFAULT_FILE = f"{FOLDER}/sites-available/default"
MANIFEST = f"/{STATE}/nginx.json"
DISPLACED = f"/{STATE}/nginx/displaced"
EVERYWHERE = ("*", "0.0.0.0")  # noqa: S104  # read and not listened on
BLOCKS = ("events", "http", "stream", "server")


@dataclass(frozen=True)
class Listen:
    """Where a server listens: the address as Nginx writes it, empty for all of IPv4; `dual` is all of both families.

    The port is 0 for a Unix socket and for QUIC, which take nothing from us.
    """

    file: str
    line: int
    address: str = ""
    port: int = 80
    ssl: bool = False
    http2: bool = False
    proxy_protocol: bool = False
    dual: bool = False


@dataclass
class Server:
    """A `server` block of the context `http` or `stream`, and where it begins."""

    context: str
    file: str
    line: int
    names: list[str] = field(default_factory=list)
    listens: list[Listen] = field(default_factory=list)


@dataclass
class Tree:
    """What is read of one nginx.conf and all that it includes, but for the files of `ours` and those of `folders`."""

    root: Path
    ours: set[str]
    folders: tuple[str, ...] = (OURS,)
    settings: list[dict[str, Any]] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    unreadable: list[dict[str, Any]] = field(default_factory=list)

    def read(self, file: str, content: bytes, context: str = "main") -> Tree:
        """Read a file, whose directives belong to this context."""
        self.files.add(file)
        try:
            self._walk(file, parse(content.decode(errors="replace")), context)
        except NginxSyntaxError as error:
            self.unreadable.append({"file": file, "line": error.line})
        return self

    def _walk(self, file: str, directives: tuple[Directive, ...], context: str) -> None:
        for directive in directives:
            if context in ("main", "http", "events") and directive.name not in BLOCKS:
                place = {"context": context, "file": file, "line": directive.line}
                self.settings.append(place | {"name": directive.name, "arguments": list(directive.arguments)})
            if directive.name == "include":
                for path in included(self.root, *directive.arguments[:1]):
                    if path not in self.ours and not path.startswith(self.folders):
                        self.read(path, _bytes(self.root / path.lstrip("/")), context)
            elif context == "server":
                self._note(file, directive)
            elif directive.name == "server" and context in ("http", "stream"):
                server = Server(context, file, directive.line)
                self.servers.append(server)
                self._walk(file, directive.block or (), "server")
                server.listens = server.listens or [Listen(file, directive.line)]
            elif context == "main" and directive.name in BLOCKS:
                self._walk(file, directive.block or (), directive.name)

    def _note(self, file: str, directive: Directive) -> None:
        if directive.name == "server_name":
            self.servers[-1].names += [name.lower() for name in directive.arguments]
        elif directive.name == "listen":
            self.servers[-1].listens.append(listen(directive.arguments, file, directive.line))


def existing(root: Path, status: str) -> dict[str, Any]:
    """What the module `host_info` tells of Nginx on a host; `status` is the text of dpkg's status file."""
    ours = _managed(root)
    original = Path(DISPLACED + MAIN) if MAIN in ours else Path(MAIN)
    content = _bytes(root / str(original).lstrip("/"))
    found = Tree(root, ours).read(MAIN, content)
    serving = Tree(root, set()).read(MAIN, _bytes(root / MAIN.lstrip("/")))
    return {
        "main": content.decode(errors="replace"),
        "main_is_package": digest(content) in package_digests(status, MAIN),
        "default_site": _default_site(root, status, ours),
        "default_site_served": DEFAULT_SITE in serving.files,
        "settings": found.settings,
        "servers": [asdict(server) for server in found.servers],
        "unreadable": found.unreadable,
    }


def speaks_proxy_protocol(root: Path, port: int) -> bool:
    """Whether connections to a port of this host's Nginx begin with the PROXY protocol."""
    tree = Tree(root, set(), folders=()).read(MAIN, _bytes(root / MAIN.lstrip("/")))
    return any(each.proxy_protocol for server in tree.servers for each in server.listens if each.port == port)


def package_digests(status: str, path: str) -> set[str]:
    """The MD5 digests that dpkg knows of a configuration file of its packages."""
    return set(re.findall(rf"^ {re.escape(path)} ([0-9a-f]{{32}})\b", status, re.MULTILINE))


def digest(content: bytes) -> str:
    """The MD5 digest that dpkg would note."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def listen(arguments: tuple[str, ...], file: str, line: int) -> Listen:
    """What a `listen` directive says."""
    where, *options = arguments or ("",)
    if where.startswith("unix:") or "quic" in options:
        return Listen(file, line, where, port=0)
    address, port = where, "80"
    if match := re.fullmatch(r"(?:(.*):)?(\d+)", where):
        address, port = match[1] or "", match[2]
    return Listen(
        file=file,
        line=line,
        address="" if address in EVERYWHERE else address,
        port=int(port),
        ssl="ssl" in options,
        http2="http2" in options,
        proxy_protocol="proxy_protocol" in options,
        dual=address == "[::]" and "ipv6only=off" in options,
    )


def _managed(root: Path) -> set[str]:
    """The files that the transaction `nginx` has written."""
    try:
        return set(json.loads(_text(root / MANIFEST.lstrip("/")) or "{}").get("files", {}))
    except (ValueError, AttributeError):
        return set()


def _default_site(root: Path, status: str, ours: set[str]) -> str:
    """Whose the site is that the package enables: of the `package` while unchanged, else `ours`, `theirs` or none."""
    place = root / DEFAULT_SITE.lstrip("/")
    if DEFAULT_SITE in ours:
        return "ours"
    if not os.path.lexists(place):
        return ""
    leads_there = place.is_symlink() and os.path.normpath(Path(DEFAULT_SITE).parent / place.readlink()) == DEFAULT_FILE
    unchanged = digest(_bytes(root / DEFAULT_FILE.lstrip("/"))) in package_digests(status, DEFAULT_FILE)
    return "package" if leads_there and unchanged else "theirs"


def included(root: Path, pattern: str = "") -> Iterator[str]:
    """The files that an `include` takes, in Nginx's order: that of the bytes of their names."""
    whole = str(root / (Path(FOLDER) / pattern).relative_to("/"))
    for path in sorted(glob.glob(whole), key=os.fsencode):  # noqa: PTH207  # like Nginx it leaves names with a dot out
        if Path(path).is_file():
            yield "/" + str(Path(path).relative_to(root))


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
