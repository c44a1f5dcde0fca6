# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's half of `production.fastapi.release`: names local sources, and sends them when they are missing."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.module_utils._app.environment import as_text, environment_problems
from ansible_collections.production.fastapi.plugins.module_utils._app.files import file_problems, file_texts
from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask_url
from ansible_collections.production.fastapi.plugins.module_utils._release.checking import Asked, Checks
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import pack, tree_hash
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.tree import file_hash
from ansible_collections.production.fastapi.plugins.plugin_utils.app import KINDS, folders_of, source_of
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.indexes import index_credentials_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import structure
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import servers_of
from ansible_collections.production.fastapi.plugins.plugin_utils.known_release import answer

# They can hold credentials, so the module shows them masked and gets the truth sealed.
SEALED = (
    "source",
    "index_url",
    "index_credentials",
    "ignore_pins",
    "install_options",
    "proxy",
    "environment",
    "build_environment",
    "files",
)

# Options that are an environment, and the variable that a user writes it in.
ENVIRONMENTS = {"environment": "app_environment (gunicorn_environment)", "build_environment": "app_build_environment"}

# Options that are not shown at all, masked or not.
HIDDEN = {*ENVIRONMENTS, "files", "index_credentials"}

# Up to so many bytes a source is part of the module's arguments: a file of its own takes four more round trips.
GOES_ALONG = 1 << 20

# What an earlier task of the run has found and a later one need not ask for again.
KEPT = ("release", "complete", "key", "live", "unfinished", "former", "resolution")


class ActionModule(ActionBase):  # type: ignore[misc]
    """One round trip: with the source, when an earlier task has found that it is missing; else a second one with it."""

    # A transfer is rare; without this Ansible would make a temporary folder on the host in every run.
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Find or build the release."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options = dict(self._task.args)
        given = source_of(
            structure("dict", options.get("source") or {}), folders_of(task_vars), str(options.pop("version", ""))
        )
        include = _include(given)
        for name, variable in ENVIRONMENTS.items():
            environment = options.get(name) or {}
            if problems := environment_problems(environment, variable):
                raise AnsibleActionFail(" ".join(problems))
            options[name] = {key: as_text(value) for key, value in environment.items()}
        credentials = options.get("index_credentials") or {}
        if problems := index_credentials_problems(credentials):
            raise AnsibleActionFail(" ".join(problems))
        options["index_credentials"] = {
            str(index): {key: str(value) for key, value in pair.items()} for index, pair in credentials.items()
        }

        source, local = self._source({key: str(value) for key, value in given.items()}, include)
        options["source"] = source

        files = options.get("files") or {}
        if problems := file_problems(files):
            raise AnsibleActionFail(" ".join(problems))
        options["files"] = file_texts(files)

        key = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()
        found = task_vars.get("app_release")
        known = found if isinstance(found, Mapping) and found.get("key") == key else {}
        if known.get("complete"):
            # Found earlier in this run: a branch that moves meanwhile must not give the hosts different releases.
            return {"changed": False, **{name: known[name] for name in KEPT if name in known}}

        host = task_vars.get("__fastapi_host")
        there = host.get("releases", {}).get(options["name"], {}) if isinstance(host, Mapping) and not found else {}
        if self._task.check_mode and (told := answer(options, there)):
            return {"changed": False, **told, "key": key}

        arguments = seal(options)
        if not self._task.check_mode:
            arguments |= self._versions(options, task_vars)
            if known.get("wants_pins") and not (arguments.get("pins") or arguments.get("resolver", True)):
                raise AnsibleActionFail(
                    "app_dependencies: this app has no lock, so its first server resolves the versions for all, and"
                    " that has failed there; see why."
                )
        sendable = None if self._task.check_mode else local
        if sendable and known.get("wants_upload"):
            arguments |= self._send(sendable, include)
        result = self._module(arguments, task_vars)
        if sendable and result.get("wants_upload"):
            result = self._module(arguments | self._send(sendable, include), task_vars)
        if not result.get("failed"):
            result["key"] = key
        return result

    def _versions(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """What the other servers of the app in this run say of the versions of a source without a lock."""
        hostvars, here = task_vars.get("hostvars", {}), task_vars.get("inventory_hostname", "")
        alive = [host for host in task_vars.get("ansible_play_hosts", []) if host in hostvars]
        peers = servers_of(alive, str(options["name"]), hostvars)
        return versions(here, {peer: hostvars[peer].get("app_release") or {} for peer in peers})

    def _source(self, source: Mapping[str, Any], include: Sequence[str]) -> tuple[dict[str, Any], Path | None]:
        """The source with what identifies it, and its path when it is on the controller."""
        kinds = [kind for kind in KINDS if kind in source]
        if len(kinds) != 1:
            raise AnsibleActionFail(f"app_source: name one of {', '.join(KINDS)}.")
        kind = kinds[0]
        if kind == "folder":
            folder = Path(self._loader.path_dwim(source["folder"]))
            if not folder.is_dir():
                raise AnsibleActionFail(f"app_source.folder: the controller has no folder {folder}.")
            try:
                self._check_form(folder, str(source.get("subdirectory", "")), include)
                return {**source, "tree": tree_hash(folder, include)}, folder
            except ReleaseError as error:
                raise AnsibleActionFail(str(error)) from error
        if kind == "archive" and "://" not in source["archive"]:
            archive = Path(self._loader.path_dwim(source["archive"]))
            if not archive.is_file():
                raise AnsibleActionFail(f"app_source.archive: the controller has no file {archive}.")
            checksum = f"sha256:{file_hash(archive)}"
            if source.get("checksum", checksum) != checksum:
                raise AnsibleActionFail(f"app_source.checksum: {archive} has {checksum}; write that if you trust it.")
            return {**source, "checksum": checksum}, archive
        if kind == "archive" and not source.get("checksum"):
            raise AnsibleActionFail("app_source.checksum: a URL needs the checksum of its archive, as sha256:….")
        if kind == "package" and not source.get("version"):
            raise AnsibleActionFail("app_source.version: name the version of the package, as 1.2.3.")
        return dict(source), None

    def _check_form(self, folder: Path, subdirectory: str, include: Sequence[str]) -> None:
        """Refuse a folder whose dependencies cannot be read or served before a host changes; it finds the rest."""
        Checks.of_folder(folder, subdirectory, include, asked_of(self._task.args)).passed()

    def _module(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            "production.fastapi.release", module_args=dict(arguments), task_vars=task_vars
        )
        return result

    def _send(self, local: Path, include: Sequence[str]) -> dict[str, str]:
        """The argument that has the source: itself when it is small, else its path on the host, where it is by then."""
        with tempfile.NamedTemporaryFile() as made:
            packed = local
            if local.is_dir():
                pack(local, made, include)
                made.flush()
                packed = Path(made.name)
            if packed.stat().st_size <= GOES_ALONG:
                return {"packed": base64.b64encode(packed.read_bytes()).decode()}
            return {"upload": self._transfer(packed)}

    def _transfer(self, packed: Path) -> str:
        """Bring a file to the host; returns its path there."""
        shell = self._connection._shell
        remote: str = shell.join_path(shell.tmpdir or self._make_tmp_path(), "source")
        self._transfer_file(str(packed), remote)
        self._fixup_perms2((shell.tmpdir, remote))
        return remote


def versions(here: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The module's options about versions: `found` has what the task has found on each server of the app, in order.

    The first of them resolves. Where one has built the release already, its versions hold for all.
    """
    first = next(iter(found), here)
    if first == here and len(found) < 2:
        return {}
    of_first = found[first]
    arguments: dict[str, Any] = {"resolver": first == here}
    if "resolution" in of_first:
        arguments["resolution"] = of_first["resolution"]
    name = of_first.get("release", {}).get("name")
    built = [known["release"] for known in found.values() if known.get("complete") and "release" in known]
    arguments["pins"] = next((each["pins"] for each in built if each.get("name") == name and each.get("pins")), {})
    arguments["preferred"] = next((known["former"] for known in found.values() if known.get("former")), {})
    return arguments


def _include(source: dict[str, Any]) -> list[str]:
    """What a source says to include, which is taken out of it: the host gets the files."""
    include = source.pop("include", [])
    if not isinstance(include, list) or not all(isinstance(path, str) for path in include):
        raise AnsibleActionFail("app_source.include: write a list of paths inside of the folder, as [client/build].")
    if include and "folder" not in source:
        raise AnsibleActionFail("app_source.include: only a folder has what git ignores; remove it.")
    return include


def asked_of(given: Mapping[str, Any]) -> Asked:
    """What the task says of its source; templates may have made texts of its lists."""
    lists = ("extras", "groups", "requirements", "ignore_pins", "install_options")
    return Asked.of({**given, **{name: structure("list", given.get(name) or []) for name in lists}})


def seal(options: Mapping[str, Any]) -> dict[str, Any]:
    """The module's arguments, with all that may hold a secret shown masked and sent in one encoded value.

    Ansible cuts every value that is not logged out of the results; encoded, a value "1" does not cut up release names.
    """
    hidden = {name: options[name] for name in SEALED if name in options}
    shown = {name: json.loads(mask_url(json.dumps(value))) for name, value in hidden.items() if name not in HIDDEN}
    open_ = {name: value for name, value in options.items() if name not in SEALED}
    return {**open_, **shown, "sealed": base64.b64encode(json.dumps(hidden).encode()).decode()}
