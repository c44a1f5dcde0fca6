# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of files as one transaction: all of them are in place and the service runs with them, or nothing has changed.

plan → stage and validate → journal → write beside the destination → swap by rename → apply → verify → commit.
Until the commit each original has a second link beside it, so that putting it back is a rename of the same inode. The
commit is the rename of the journal; a run that finds a journal undoes it first. The manifest, which remembers what is
ours, is one of the swapped files and therefore always tells the truth.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import grp
import json
import os
import pwd
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.commands import Command, Stop, run
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.entries import (
    KEEP,
    Entry,
    copy,
    copy_folder,
    mirror_folder,
    new_name,
    old_name,
    put_back,
    read,
    remove_if_empty,
    sync_folder,
    write,
)
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import (
    GENERATION,
    ConfigError,
    ConfigFile,
    parents,
    with_generation,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask, secrets_of
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

LOCK_TIMEOUT = 60
VERIFY_PAUSE = 0.2
NOTHING_CHANGED = "Nothing was changed."


@dataclass(frozen=True)
class Change:
    """What happens to one path; `original` is the kept file that comes back to it."""

    path: str
    before: Entry | None
    after: Entry | None
    original: Path | None = None
    secret: bool = False

    def status(self) -> str:
        """How the change is reported: added, changed, removed or mode."""
        if self.before is None:
            return "added"
        if self.after is None or self.original:
            return "removed"
        same = (self.before.content, self.before.link) == (self.after.content, self.after.link)
        return "mode" if same else "changed"

    def diff(self) -> dict[str, str]:
        """The change as Ansible's diff mode shows it."""
        sides = {}
        for side, entry in (("before", self.before), ("after", self.after)):
            if entry is None:
                sides[side], sides[f"{side}_header"] = "", f"{self.path} (absent)"
                continue
            text = f"(secret, not shown, {side} the change)\n" if self.secret else entry.text()
            sides[side] = f"{entry.owned()}\n" if self.status() == "mode" else text
            sides[f"{side}_header"] = f"{self.path} ({entry.owned()})"
        return sides


@dataclass
class Manifest:
    """What is ours: `files` maps a path to its flags `secret` and `displaced`; `folders` are those we created.

    `inventory` is where the files came from, for those who ask later.
    """

    generation: str = ""
    inventory: str = ""
    files: dict[str, dict[str, bool]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    def dump(self) -> bytes:
        """The text of the manifest file."""
        return (json.dumps(vars(self), indent=1, sort_keys=True) + "\n").encode()


@dataclass
class Plan:
    """The way from what is there to what is wanted; only `changes` are reported and make the service reload."""

    changes: list[Change] = field(default_factory=list)
    manifest: Change | None = None
    displaced: list[str] = field(default_factory=list)
    new_folders: list[str] = field(default_factory=list)
    leaving_folders: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def swaps(self) -> list[Change]:
        """Everything that is renamed into place."""
        return [*self.changes, self.manifest] if self.manifest else self.changes


@dataclass
class Result:
    """What a transaction did, or would do."""

    changed: bool
    files: dict[str, str]
    generation: str
    diff: list[dict[str, str]]
    recovered: bool
    skipped: list[str]
    warnings: list[str]


@dataclass
class ConfigTree:
    """The transaction `name` below `root`; all times are seconds. `run` is all that callers need."""

    name: str
    files: list[ConfigFile]
    stage_with: list[str] = field(default_factory=list)
    validate: list[Command] = field(default_factory=list)
    apply: list[Command] = field(default_factory=list)
    verify: list[Command] = field(default_factory=list)
    verify_timeout: float = 10
    command_timeout: float = 60
    keep: list[str] = field(default_factory=list)
    inventory: str = ""
    seen: str | None = None  # the generation that `keep` is based on, empty for none; with None any will do
    check: bool = False
    root: Path = Path("/")

    def __post_init__(self) -> None:
        """Derive where this transaction keeps its things."""
        self.folder = self.at(f"/{STATE}/{self.name}")
        self.journal = self.folder / "journal.json"
        self.committed = self.folder / "committed.json"
        self.originals = self.folder / "displaced"
        self.manifest = f"/{STATE}/{self.name}.json"
        self.generation, self.files = with_generation([*self.files, *self._kept()])
        self.stop = Stop()
        self.validate, self.apply, self.verify = (
            [command.with_values({GENERATION: self.generation}) for command in commands]
            for commands in (self.validate, self.apply, self.verify)
        )

    def _kept(self) -> list[ConfigFile]:
        """Files of earlier runs that stay as they are, because `keep` says so and `files` does not have them."""
        if not self.keep:
            return []
        wanted = {file.dest for file in self.files}
        known, _unused = self._read_manifest()
        kept = []
        for path, flags in sorted(known.files.items()):
            place = self.at(path)
            if path in wanted or not any(fnmatch.fnmatchcase(path, pattern) for pattern in self.keep):
                continue
            if place.is_file() and not place.is_symlink() and (found := read(place)):
                # By name, as others write them, so that the generation is that of a run that has the file.
                owner = _name(found.uid, lambda uid: pwd.getpwuid(uid).pw_name)
                group = _name(found.gid, lambda gid: grp.getgrgid(gid).gr_name)
                kept.append(ConfigFile(path, found.content, owner, group, found.mode, flags["secret"], rendered=False))
        return kept

    def at(self, path: str) -> Path:
        """Where an absolute path of the host is."""
        return self.root / path.lstrip("/")

    def run(self) -> Result:
        """Bring the host to `files`; in check mode only tell what that would change.

        Raises ConfigError, after which the host is as it was, or the error says what is not.
        """
        with self.stop, self._locked():
            recovered, warnings = self._recover()
            self._refuse_what_is_out_of_date()
            plan = self._plan()
            skipped = self._validate(plan) if plan.changes and self.files and self.validate else []
            if not self.check and plan.swaps():
                self._transact(plan)
            return Result(
                changed=bool(plan.changes) or recovered,
                files={change.path: change.status() for change in plan.changes},
                generation=self.generation,
                diff=[change.diff() for change in plan.changes],
                recovered=recovered,
                skipped=skipped,
                warnings=warnings + plan.warnings,
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One run of this name at a time. The lock dies with its process; a dry run does not create it."""
        path = self.at(f"/run/production.fastapi.{self.name}.lock")
        if self.check and not path.exists():
            yield
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT
            while not _lock(descriptor):
                self.stop.check()
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"Another run of {self.name} has held {path} for {LOCK_TIMEOUT} s; let it finish or end it. "
                        f"{NOTHING_CHANGED}"
                    )
                time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)

    # Reading

    def _refuse_what_is_out_of_date(self) -> None:
        """Another inventory that wrote since the caller looked may have files that `keep` does not name."""
        known, _unused = self._read_manifest()
        if self.seen not in (None, known.generation) and known.inventory not in ("", self.inventory):
            raise ConfigError(
                f"The inventory {known.inventory} has changed the files of {self.name} on this host since this run"
                f" began; run it again. {NOTHING_CHANGED}"
            )

    def _plan(self) -> Plan:
        known, manifest_before = self._read_manifest()
        wanted = Manifest(self.generation, self.inventory)
        plan = Plan()
        for file in self.files:
            self._check_place(file.dest)
            before, after = read(self.at(file.dest)), self._entry(file)
            flags = known.files.get(file.dest, {})
            # A link in the place of our file was put there by somebody, so it is kept like a foreign file.
            foreign = before is not None and (not flags or before.link) and not flags.get("displaced")
            if foreign:
                plan.displaced.append(file.dest)
            if before != after:
                secret = file.secret or flags.get("secret", False)
                plan.changes.append(Change(file.dest, before, after, secret=secret))
            wanted.files[file.dest] = {"secret": file.secret, "displaced": foreign or flags.get("displaced", False)}
        for path in sorted(known.files.keys() - wanted.files.keys()):
            self._plan_removal(path, known.files[path], plan)

        needed = {folder for path in wanted.files for folder in parents(path)}
        plan.new_folders = sorted(folder for folder in needed if not self.at(folder).exists())
        plan.leaving_folders = sorted(set(known.folders) - needed)
        wanted.folders = sorted((set(known.folders) & needed) | set(plan.new_folders))
        manifest_after = Entry(wanted.dump(), os.geteuid(), os.getegid(), 0o600) if wanted.files else None
        if manifest_after != manifest_before:
            plan.manifest = Change(self.manifest, manifest_before, manifest_after)
        return plan

    def _plan_removal(self, path: str, flags: dict[str, bool], plan: Plan) -> None:
        place = self.at(path)
        if os.path.lexists(place) and (place.is_symlink() or not place.is_file()):
            plan.warnings.append(f"{path} is no longer managed, but is not our file any more; it was left as it is.")
            return
        original = self._original(path) if flags["displaced"] else None
        before, after = read(place), read(original) if original else None
        if before != after:
            plan.changes.append(Change(path, before, after, original, flags["secret"]))

    def _read_manifest(self) -> tuple[Manifest, Entry | None]:
        entry = read(self.at(self.manifest))
        try:
            return Manifest(**json.loads(entry.content)) if entry else Manifest(), entry
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.manifest} is damaged ({error}); restore it, or remove it to take over the files again. "
                f"{NOTHING_CHANGED}"
            ) from error

    def _original(self, path: str) -> Path:
        return self.originals / path.lstrip("/")

    def _check_place(self, path: str) -> None:
        for folder in parents(path):
            place = self.at(folder)
            if os.path.lexists(place) and not place.is_dir():
                raise ConfigError(f"{path} needs a folder at {folder}, which is none; move it away. {NOTHING_CHANGED}")

    def _entry(self, file: ConfigFile) -> Entry:
        uid = self._id("user", file.owner, file.dest, lambda name: pwd.getpwnam(name).pw_uid)
        gid = self._id("group", file.group, file.dest, lambda name: grp.getgrnam(name).gr_gid)
        return Entry(file.content, uid, gid, file.mode)

    def _id(self, kind: str, name: str, dest: str, find: Callable[[str], int]) -> int:
        try:
            return int(name) if name.isdigit() else find(name)
        except KeyError:
            if self.check:
                return KEEP
            raise ConfigError(
                f"The {kind} {name} of {dest} does not exist on this host; create it first or name another. "
                f"{NOTHING_CHANGED}"
            ) from None

    # Validating

    def _validate(self, plan: Plan) -> list[str]:
        """Run the validators on a stage; returns those that a dry run had to leave out."""
        skipped = []
        with self._stage(plan) as stage:
            for command in self.validate:
                staged = command.with_values({"{stage}": str(stage)})
                if self.check and (missing := staged.missing()):
                    skipped.append(f"{command} (no {missing} on this host yet)")
                    continue
                try:
                    run(staged, self.command_timeout, self.stop.check)
                except ConfigError as error:
                    text = self._without_secrets(str(error).replace(str(stage), ""), plan)
                    raise ConfigError(f"The new configuration was refused: {_end(text)} {NOTHING_CHANGED}") from None
        return skipped

    @contextlib.contextmanager
    def _stage(self, plan: Plan) -> Iterator[Path]:
        """A folder that mirrors `/` as it would be after the swap; a dry run keeps it out of our state."""
        stage = self.folder / "stage"
        try:
            if self.check:
                stage = Path(tempfile.mkdtemp(prefix="config-tree-"))
            else:
                self._make_folder()
                stage.mkdir()
            stage.chmod(0o755)
            for folder in filter(lambda folder: self.at(folder).is_dir(), self.stage_with):
                copy_folder(self.at(folder), self._staged(stage, folder))
            for change in plan.changes:
                place = self._staged(stage, change.path)
                place.unlink(missing_ok=True)
                if change.original:
                    copy(change.original, place, sync=False)
            for file in self.files:
                place = self._staged(stage, file.dest)
                place.unlink(missing_ok=True)
                write(place, self._entry(file), sync=False)
            yield stage
        except OSError as error:
            raise ConfigError(f"The new configuration cannot be staged: {_reason(error)}. {NOTHING_CHANGED}") from error
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            self._tidy()

    def _staged(self, stage: Path, path: str) -> Path:
        """Where a path is in the stage; the folders above it are made like the real ones."""
        for folder in parents(path):
            mirror_folder(self.at(folder), stage / folder.lstrip("/"))
        return stage / path.lstrip("/")

    def _without_secrets(self, text: str, plan: Plan) -> str:
        """The text with every line of a secret file, and every value in one, masked."""
        contents = [file.content for file in self.files if file.secret]
        contents += [change.before.content for change in plan.changes if change.secret and change.before]
        secrets: set[str] = set()
        for line in b"\n".join(contents).decode(errors="replace").splitlines():
            for part in (line, line.partition("=")[2], line.partition(":")[2]):
                text_of_part = part.strip(" \t'\";,")
                # As it is in the file, and as a program has read it.
                secrets |= {text_of_part, re.sub(r"\\(.)", r"\1", text_of_part)}
        return mask(text, secrets_of(secrets))

    # Writing

    def _transact(self, plan: Plan) -> None:
        applied = False
        try:
            self._swap(plan)
            if plan.changes:
                applied = True
                for command in self.apply:
                    run(command, self.command_timeout, self.stop.check)
                self._verify()
            self.stop.check()
            self.journal.rename(self.committed)
        except BaseException as error:
            problems = self._undo(reapply=applied)
            if not isinstance(error, ConfigError | OSError):
                raise
            text = f"The new configuration did not work: {_end(_reason(error))} "
            if problems:
                text += f"Putting the old one back failed too: {' '.join(problems)}"
            else:
                text += "The old one is back and in use." if applied else NOTHING_CHANGED
            raise ConfigError(self._without_secrets(text, plan)) from None
        with contextlib.suppress(OSError):  # committed; the next run finishes what fails here
            sync_folder(self.folder)
            self._finish()

    def _swap(self, plan: Plan) -> None:
        swaps = plan.swaps()
        journal = {
            "swapping": False,
            "paths": {change.path: change.before is not None for change in swaps},
            "new_folders": plan.new_folders,
            "leaving_folders": plan.leaving_folders,
            "apply": [command.argv for command in self.apply] if plan.changes else [],
        }
        self._make_folder()
        self._write_journal(journal)
        for folder in plan.new_folders:
            self.at(folder).mkdir()
            self.at(folder).chmod(0o755)
            sync_folder(self.at(folder).parent)
        for path in plan.displaced:
            kept = self._original(path)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.unlink(missing_ok=True)
            copy(self.at(path), kept)
        for change in swaps:
            self.stop.check()
            place = self.at(change.path)
            if change.original:
                copy(change.original, new_name(place))
            elif change.after:
                write(new_name(place), change.after)
            if change.before:
                os.link(place, old_name(place), follow_symlinks=False)
        self._write_journal(journal | {"swapping": True})
        for change in swaps:
            self.stop.check()
            place = self.at(change.path)
            if change.after:
                new_name(place).replace(place)
            else:
                place.unlink()
        self._sync_folders_of(change.path for change in swaps)

    def _verify(self) -> None:
        deadline = time.monotonic() + self.verify_timeout
        for command in self.verify:
            while True:
                left = max(deadline - time.monotonic(), VERIFY_PAUSE)
                try:
                    run(command, min(left, self.command_timeout), self.stop.check)
                    break
                except ConfigError as error:
                    self.stop.check()
                    if time.monotonic() + VERIFY_PAUSE > deadline:
                        raise ConfigError(f"not verified within {self.verify_timeout:g} s: {error}") from None
                    time.sleep(VERIFY_PAUSE)

    def _finish(self) -> None:
        """Remove what the commit made superfluous; a run that finds it unfinished does it again."""
        journal = json.loads(self.committed.read_bytes())
        for path in journal["paths"]:
            old_name(self.at(path)).unlink(missing_ok=True)
        for folder in reversed(journal["leaving_folders"]):
            remove_if_empty(self.at(folder))
        self._forget_originals()
        self.committed.unlink()
        self._tidy()

    # Putting back

    def _recover(self) -> tuple[bool, list[str]]:
        """Finish or undo what a killed run left; returns whether that undid something, and what to warn of."""
        if self.check:
            if self.journal.exists():
                return True, [f"A run of {self.name} was killed on its way; the next one puts its changes back first."]
            return False, []
        shutil.rmtree(self.folder / "stage", ignore_errors=True)
        if self.committed.exists():
            self._finish()
        if not self.journal.exists():
            self._tidy()
            return False, []
        problems = self._undo(reapply=True)
        if self.journal.exists():
            raise ConfigError(f"A killed run of {self.name} cannot be undone: {' '.join(problems)}")
        return True, problems

    def _undo(self, reapply: bool) -> list[str]:
        """Put everything back as the journal says, and have it applied; returns what went wrong."""
        problems = []
        try:
            if self.journal.exists():
                journal = json.loads(self.journal.read_bytes())
                for path, existed in reversed(journal["paths"].items()):
                    put_back(self.at(path), existed, journal["swapping"])
                self._sync_folders_of(journal["paths"])
                for folder in reversed(journal["new_folders"]):
                    remove_if_empty(self.at(folder))
                self._forget_originals()
                for argv in journal["apply"] if reapply and journal["swapping"] else []:
                    try:
                        run(Command(tuple(argv)), self.command_timeout)
                    except ConfigError as error:
                        problems.append(f"The old files are back, but applying them failed: {_end(str(error))}")
                self.journal.unlink()
            self._tidy()
        except OSError as error:
            problems.append(f"{_reason(error)}; {self.journal} is kept, and the next run tries again.")
        return problems

    def _forget_originals(self) -> None:
        """Remove kept originals that the manifest does not know."""
        manifest, _unused = self._read_manifest()
        kept = {self._original(path) for path, flags in manifest.files.items() if flags["displaced"]}
        for folder, folders, files in os.walk(self.originals, topdown=False):
            for path in (Path(folder, name) for name in [*files, *folders]):
                if path.is_dir() and not path.is_symlink():
                    remove_if_empty(path)
                elif path not in kept:
                    path.unlink()

    def _make_folder(self) -> None:
        self.originals.mkdir(parents=True, exist_ok=True)
        self.originals.chmod(0o700)
        for folder in (self.folder, self.folder.parent):
            folder.chmod(0o755)  # validators may run as another user; what is in the stage has modes of its own

    def _tidy(self) -> None:
        """Leave no empty folder of ours behind."""
        if not self.check:
            new_name(self.journal).unlink(missing_ok=True)
            for folder in (self.originals, self.folder, self.folder.parent):
                with contextlib.suppress(OSError):  # not empty, or not there
                    folder.rmdir()

    def _write_journal(self, journal: dict[str, Any]) -> None:
        draft = new_name(self.journal)
        write(draft, Entry(json.dumps(journal).encode(), os.geteuid(), os.getegid(), 0o600))
        draft.replace(self.journal)
        sync_folder(self.folder)

    def _sync_folders_of(self, paths: Iterable[str]) -> None:
        for folder in {self.at(path).parent for path in paths}:
            if folder.is_dir():
                sync_folder(folder)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name(number: int, find: Callable[[int], str]) -> str:
    try:
        return find(number)
    except KeyError:
        return str(number)


def _reason(error: BaseException) -> str:
    """`No space left on device: /etc/nginx/nginx.conf` instead of a number and a tuple."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {os.fsdecode(error.filename)}" if error.filename else "")
    return str(error)


def _end(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
