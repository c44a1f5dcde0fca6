# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A git repository as the source of a release."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.production.fastapi.plugins.module_utils.release_host import Account, Settings, run
from ansible_collections.production.fastapi.plugins.module_utils.release_rules import (
    ReleaseError,
    is_commit,
    last_line,
    mask_url,
    pick_commit,
    plain_url,
)


class Git:
    """A repository, read by the app's user; a mirror in the cache makes the next release a small fetch."""

    def __init__(self, url: str, key: str, account: Account, settings: Settings, cache: Path) -> None:
        """`url` may have credentials; `key` is a deploy key on the host, or empty."""
        self.url = url
        self.plain = plain_url(url)
        self.key = key
        self.account = account
        self.settings = settings
        self.cache = cache

    def resolve(self, version: str) -> str:
        """The commit that a version (branch, tag, commit or `HEAD`) is now; raises `ReleaseError` if it is none."""
        if is_commit(version):
            return version
        patterns = [f"refs/heads/{version}", f"refs/tags/{version}", f"refs/tags/{version}^{{}}", version]
        return pick_commit(self._git("ls-remote", "--", self.plain, *patterns), version, mask_url(self.url))

    def checkout(self, commit: str, target: Path) -> None:
        """Write the tree of a commit into the folder `target`, which exists and belongs to the app's user."""
        mirror = self.cache / "git" / hashlib.sha256(self.plain.encode()).hexdigest()[:12]
        here = f"--git-dir={mirror}"
        if not (mirror / "HEAD").is_file():
            self._git("init", "--quiet", "--bare", str(mirror))
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self._git(here, "fetch", "--quiet", "--prune", "--", self.plain, *refs)
        # A commit that no branch or tag leads to any more has to be asked for by its name.
        missing = self._try(here, "cat-file", "-e", f"{commit}^{{commit}}")[0] != 0
        if missing and self._try(here, "fetch", "--quiet", "--", self.plain, commit)[0] != 0:
            raise ReleaseError(f"app_source.version: {mask_url(self.url)} has no commit {commit}.")
        self._git(here, f"--work-tree={target}", "checkout", "--quiet", "--force", commit, "--", ".")

    def _git(self, *words: str) -> str:
        code, output = self._try(*words)
        if code != 0:
            raise ReleaseError(f"app_source.git: {mask_url(self.url)} cannot be read: {_reason(output)}", output)
        return output

    def _try(self, *words: str) -> tuple[int, str]:
        # A folder of its own, so that neither the key nor the password outlives the command.
        with tempfile.TemporaryDirectory(prefix="release-git-") as name:
            home = Path(name)
            (home / "config").write_text(self._configuration())
            environment = self.settings.environment() | {
                "HOME": name,
                "GIT_CONFIG_GLOBAL": str(home / "config"),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_INDEX_FILE": str(home / "index"),
                "GIT_SSH_COMMAND": self._ssh(home),
            }
            self.account.own(home)
            return run(["git", *words], self.account, environment, folder=Path("/"), timeout=600)

    def _ssh(self, home: Path) -> str:
        known_hosts = (self.cache if self.cache.is_dir() else home) / "known_hosts"
        command = "ssh -F none -o BatchMode=yes -o ConnectTimeout=15 -o StrictHostKeyChecking=accept-new"
        command += f" -o UserKnownHostsFile={known_hosts}"
        if not self.key:
            return command
        # The key may be readable for root alone; the app's user has a copy while git runs.
        try:
            shutil.copyfile(self.key, home / "key")
        except OSError as error:
            raise ReleaseError(f"app_source.key: {self.key} cannot be read on the host: {error.strerror}.") from error
        (home / "key").chmod(0o600)
        return f"{command} -o IdentitiesOnly=yes -i {home / 'key'}"

    def _configuration(self) -> str:
        lines = []
        if self.url != self.plain:
            # Not on the command line, which every process of the host can read.
            lines += [f'[url "{self.url}"]', f'insteadOf = "{self.plain}"']
        local = urlsplit(self.plain).path if self.plain.startswith("file://") else self.plain
        if local.startswith("/"):
            # A repository of the host may belong to somebody else; the user named it.
            lines += ["[safe]", f'directory = "{local}"', f'directory = "{local.rstrip("/")}/.git"']
        return "\n".join([*lines, "[gc]", "auto = 0", ""])


def _reason(output: str) -> str:
    """Git ends with general advice; what happened is in the first line that is an error."""
    errors = [line for line in output.splitlines() if line.startswith(("fatal: ", "ssh: ", "error: ", "git@"))]
    specific = [line for line in errors if "Could not read from remote repository" not in line]
    return (specific or errors or [last_line(output)])[0].removeprefix("fatal: ")
