# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A git repository as the source of a release."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask_url
from ansible_collections.production.fastapi.plugins.module_utils._release.host import PATH, Settings, run
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    ReleaseError,
    is_commit,
    is_short_commit,
    last_line,
    names_ref,
    pick_commit,
    pick_short_commit,
    plain_url,
)

REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")

# Submodules of submodules, and no further.
DEEPEST = 5

# Arguments: the mirror, or nothing where there is none yet; the URL; the beginning of a commit. Prints the objects that
# begin so, a line each: its name, its type, its size.
FIND_SHORT = f"""
copy=${{1:-$HOME/copy}}
test -f "$copy/HEAD" || git init --quiet --bare "$copy"
git --git-dir="$copy" fetch --quiet --prune -- "$2" {" ".join(f"'{ref}'" for ref in REFS)}
git --git-dir="$copy" rev-parse --disambiguate="$3" | git --git-dir="$copy" cat-file --batch-check
"""

# Arguments: the mirror, a folder with the tree of a commit, that commit. Makes a repository of the folder which has the
# mirror's objects and tags, so that nothing is copied. Files of Git LFS are compared as what they stand for.
LEND = """
unset GIT_INDEX_FILE
git init --quiet "$2"
cd "$2"
echo "$1/objects" >.git/objects/info/alternates
git fetch --quiet --no-recurse-submodules -- "$1" 'refs/tags/*:refs/tags/*'
git update-ref --no-deref HEAD "$3"
git config filter.lfs.clean 'git-lfs clean -- %f'
git read-tree HEAD
git update-index -q --refresh || true
"""

# What has git bring the files themselves, where it has fetched them.
LFS_FILTER = ("-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true")


class Git:
    """A repository, read by the build account; a mirror in the cache makes the next release a small fetch.

    Only the units that ask the repository have its secrets, and nothing but git and ssh runs in them.
    """

    def __init__(self, url: str, key: str, place: Place, settings: Settings) -> None:
        """`url` may have credentials; `key` is a deploy key on the host, or empty."""
        self.url = url
        self.plain = plain_url(url)
        self.key = key
        self.place = place
        self.settings = settings

    def resolve(self, version: str) -> str:
        """The commit that a version (branch, tag, commit or `HEAD`) is now; raises `ReleaseError` if it is none."""
        if is_commit(version):
            return version
        patterns = [f"refs/heads/{version}", f"refs/tags/{version}", f"refs/tags/{version}^{{}}", version]
        listing = self._git("ls-remote", "--", self.plain, *patterns)
        if is_short_commit(version) and not names_ref(listing, version):
            return self._resolve_short(version)
        return pick_commit(listing, version, mask_url(self.url))

    def _resolve_short(self, version: str) -> str:
        """The commit that begins with `version`.

        Only a copy of the repository knows it: the mirror, or before there is one a copy that goes with the unit's
        secrets, because this is asked before anything on the host changes.
        """
        mirror = str(self.mirror) if self._has_mirror() else ""
        code, output = self._run(["sh", "-ec", FIND_SHORT, "sh", mirror, self.plain, version])
        if code != 0:
            raise ReleaseError(f"app_source.git: {mask_url(self.url)} cannot be read: {_reason(output)}", output)
        commits = re.findall(r"^([0-9a-f]{40,64}) commit [0-9]+$", output, re.MULTILINE)
        return pick_short_commit("\n".join(commits), version, mask_url(self.url))

    @property
    def mirror(self) -> Path:
        """The copy of the repository in the cache, as the units see it."""
        return self.place.git / hashlib.sha256(self.plain.encode()).hexdigest()[:12]

    def _has_mirror(self) -> bool:
        return (self.place.outside(self.mirror) / "HEAD").is_file()

    def checkout(self, commit: str, below: str = "", depth: int = 0) -> None:
        """Write the tree of a commit, with its submodules, into the place's source or a folder of that.

        Raises `ReleaseError` when there is no such commit, or a submodule cannot be had.
        """
        self._checkout(commit, below)
        for path, url in self._submodules(commit):
            listed = self._git(f"--git-dir={self.mirror}", "ls-tree", commit, "--", path, secret=False)
            found = re.match(r"160000 commit ([0-9a-f]{40,64})\t", listed)
            if found is None:
                continue
            folder = posixpath.join(below, path)
            if depth >= DEEPEST or not self._is_inside(folder):
                raise ReleaseError(f"app_source.git: {mask_url(self.url)} has a submodule at {path}; move it.")
            Git(self._beside(url), self.key, self.place, self.settings).checkout(found[1], folder, depth + 1)

    def lend(self, commit: str) -> None:
        """Make the place's source a repository, for what asks git which version of the app it builds."""
        code, output = self._run(["sh", "-ec", LEND, "sh", self.mirror, self.place.source, commit], secret=False)
        if code != 0:
            raise ReleaseError(f"app_source.git: {mask_url(self.url)} cannot be read: {_reason(output)}", output)

    def _fetch_lfs(self, commit: str) -> list[str]:
        """Bring what a commit keeps in Git LFS into the mirror; returns the options of git for such a commit."""
        here = f"--git-dir={self.mirror}"
        attributes = ("--", ".gitattributes", ":(glob)**/.gitattributes")
        code, _output = self._try(here, "grep", "-q", "-e", "filter=lfs", commit, *attributes, secret=False)
        if code != 0:
            return []
        if shutil.which("git-lfs", path=PATH) is None:
            raise ReleaseError(
                f"app_source.git: {mask_url(self.url)} keeps files in Git LFS, and the host cannot fetch them; add"
                " git-lfs to app_packages."
            )
        code, output = self._try(here, "lfs", "fetch", self.plain, commit)
        if code != 0:
            raise ReleaseError(
                f"app_source.git: the files that {mask_url(self.url)} keeps in Git LFS cannot be fetched:"
                f" {_reason(output)}",
                output,
            )
        self._forget_lfs(self._git(here, "lfs", "ls-files", "--long", commit, secret=False))
        return [*LFS_FILTER]

    def _forget_lfs(self, listing: str) -> None:
        """Remove files of other commits from the mirror, which would keep every version of each for ever."""
        used = {line.split()[0] for line in listing.splitlines() if line.strip()}
        for path in (self.place.outside(self.mirror) / "lfs" / "objects").glob("??/??/*"):
            if path.name not in used:
                path.unlink()

    def _submodules(self, commit: str) -> list[tuple[str, str]]:
        """Path and URL of each submodule that a commit names, sorted by path."""
        words = ["config", f"--blob={commit}:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.(path|url)$"]
        code, output = self._try(f"--git-dir={self.mirror}", *words, secret=False)
        if code != 0:
            return []
        known: dict[str, dict[str, str]] = {}
        for entry in filter(None, output.split("\0")):
            name, _unused, value = entry.partition("\n")
            module, _unused, setting = name.rpartition(".")
            known.setdefault(module, {})[setting] = value
        return sorted((each["path"], each["url"]) for each in known.values() if {"path", "url"} <= set(each))

    def _is_inside(self, folder: str) -> bool:
        """Whether git has made this folder inside of the source, and no link leads there."""
        source = self.place.outside(self.place.source)
        target = source / folder
        return target.is_dir() and target.resolve() == source.resolve() / folder

    def _beside(self, url: str) -> str:
        """The URL of a submodule, with what opens this repository where it is on the same server.

        Raises `ReleaseError` when it names a repository of the host, which only the operator may do.
        """
        if url.startswith(("./", "../")):
            start = re.match(r"\w+://[^/]*|[^/:]+:|", self.url)
            server = start[0] if start else ""
            path = self.url.removeprefix(server).rstrip("/")
            return f"{server}{posixpath.normpath(posixpath.join(path, url))}"
        of_host = bool(_local_path(url)) and bool(_local_path(self.plain))
        if not of_host and not re.match(r"https?://|ssh://|[\w.-]+@[\w.-]+:", url):
            raise ReleaseError(f"app_source.git: a submodule is at {mask_url(url)}; use https or ssh.")
        ours, theirs = urlsplit(self.url), urlsplit(url)
        same = (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, theirs.hostname, theirs.port)
        return theirs._replace(netloc=ours.netloc).geturl() if same and self.url != self.plain else url

    def _checkout(self, commit: str, below: str) -> None:
        here = f"--git-dir={self.mirror}"
        if not self._has_mirror():
            self._git("init", "--quiet", "--bare", str(self.mirror))
        self._git(here, "fetch", "--quiet", "--prune", "--", self.plain, *REFS)
        # A commit that no branch or tag leads to any more has to be asked for by its name.
        known = self._try(here, "cat-file", "-e", f"{commit}^{{commit}}", secret=False)[0] == 0
        if not known and self._try(here, "fetch", "--quiet", "--", self.plain, commit)[0] != 0:
            raise ReleaseError(f"app_source.version: {mask_url(self.url)} has no commit {commit}.")
        options = self._fetch_lfs(commit)
        target = f"--work-tree={self.place.source / below}"
        self._git(*options, here, target, "checkout", "--quiet", "--force", commit, "--", ".", secret=False)

    def _git(self, *words: str, secret: bool = True) -> str:
        code, output = self._try(*words, secret=secret)
        if code != 0:
            raise ReleaseError(f"app_source.git: {mask_url(self.url)} cannot be read: {_reason(output)}", output)
        return output

    def _try(self, *words: str, secret: bool = True) -> tuple[int, str]:
        return self._run(["git", *words], secret=secret)

    def _run(self, command: Sequence[str | Path], *, secret: bool = True) -> tuple[int, str]:
        # A folder of its own, so that neither the key nor the password outlives the command.
        with self.place.secrets() as (home, seen):
            # Where git looks by itself, because git-lfs takes the variables away.
            (home / ".gitconfig").write_text(self._configuration(secret=secret))
            environment = self.settings.environment() | {
                "HOME": str(seen),
                "GIT_CONFIG_GLOBAL": str(seen / ".gitconfig"),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_INDEX_FILE": str(seen / "index"),
                "GIT_SSH_COMMAND": self._ssh(home, seen, secret=secret),
            }
            self.place.account.own(home)
            local = _local_path(self.plain)
            confinement = self.place.fetching(home, seen, [Path(local)] if local else [])
            return run(command, confinement, environment, folder=Path("/"), timeout=600)

    def _ssh(self, home: Path, seen: Path, *, secret: bool) -> str:
        known_hosts = (self.place.git if self.place.has_cache else seen) / "known_hosts"
        command = "ssh -F none -o BatchMode=yes -o ConnectTimeout=15 -o StrictHostKeyChecking=accept-new"
        command += f" -o UserKnownHostsFile={known_hosts}"
        if not self.key or not secret:
            return command
        # The key may be readable for root alone; the unit that fetches has a copy while it runs.
        try:
            shutil.copyfile(self.key, home / "key")
        except OSError as error:
            raise ReleaseError(f"app_source.key: {self.key} cannot be read on the host: {error.strerror}.") from error
        (home / "key").chmod(0o600)
        return f"{command} -o IdentitiesOnly=yes -i {seen / 'key'}"

    def _configuration(self, *, secret: bool) -> str:
        lines = []
        if secret and self.url != self.plain:
            # Not on the command line, which every process of the host can read.
            lines += [f'[url "{self.url}"]', f'insteadOf = "{self.plain}"']
        if local := _local_path(self.plain):
            # A repository of the host may belong to somebody else; the user named it.
            lines += ["[safe]", f'directory = "{local}"', f'directory = "{local.rstrip("/")}/.git"']
        return "\n".join([*lines, "[gc]", "auto = 0", ""])


def _local_path(url: str) -> str:
    """The path of a repository on the host itself, else empty."""
    path = urlsplit(url).path if url.startswith("file://") else url
    return path if path.startswith("/") else ""


def _reason(output: str) -> str:
    """Git ends with general advice; what happened is in the first line that is an error."""
    errors = [line for line in output.splitlines() if line.startswith(("fatal: ", "ssh: ", "error: ", "git@"))]
    specific = [line for line in errors if "Could not read from remote repository" not in line]
    return (specific or errors or [last_line(output)])[0].removeprefix("fatal: ")
