# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders the files of a transaction on the controller and sends them to the module in one round trip."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.commands import parse_commands
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.digest import digest_of
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import (
    ConfigError,
    ConfigFile,
    check_files,
    encode,
    with_generation,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.rendering import render_file
from ansible_collections.production.fastapi.plugins.plugin_utils.run_key import KEY

SOURCES = ("template", "src", "content", "each_content")
KEYS = {"dest", *SOURCES, "each", "owner", "group", "mode", "secret"}
COMMANDS = ("validate", "apply", "verify")


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Whatever is wrong with the options is said here, before the host is asked anything."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        try:
            _check_options(options)
            variables = {**(task_vars or {}), **_settings(options)}
            entries = [] if options.get("state") == "absent" else _list(options, "files")
            files = [file for number, entry in enumerate(entries, 1) for file in self._files(number, entry, variables)]
            check_files(files)
        except ConfigError as error:
            raise AnsibleActionFail(str(error)) from error
        for own in ("files", "settings", "loop_var"):
            options.pop(own, None)
        generation, written = with_generation(files)
        inventory = str(options.get("inventory", ""))
        digest = options.pop("digest", "")
        if digest and digest == digest_of(written, generation, inventory, KEY):
            unchanged = {"changed": False, "files": {}, "generation": generation, "skipped_validators": []}
            return result | unchanged | {"recovered": False} | ({"diff": []} if self._task.diff else {})
        options["payload"] = encode(files)
        result.update(
            self._execute_module("production.fastapi.config_tree", module_args=options, task_vars=task_vars or {})
        )
        return result

    def _files(self, number: int, entry: Any, variables: dict[str, Any]) -> Iterator[ConfigFile]:
        """The files that one entry of `files` stands for, rendered."""
        where = f"files, entry {number}"
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{where} is not a dictionary; write {{dest: …, template: …}}.")
        if unknown := sorted(set(entry) - KEYS):
            raise ConfigError(f"{where}: unknown key `{unknown[0]}`; known are {', '.join(sorted(KEYS))}.")
        if len([key for key in SOURCES if entry.get(key) is not None]) != 1:
            raise ConfigError(f"{where}: give exactly one of template, src, content and each_content.")
        mode = entry.get("mode", "0644")
        if not isinstance(mode, str) or not re.fullmatch("[0-7]{3,4}", mode):
            raise ConfigError(f"{where}: mode {mode!r} is not a quoted octal number; write it like '0640'.")
        try:
            secret = boolean(entry.get("secret", False))
        except TypeError:
            raise ConfigError(f"{where}: secret must be true or false, not {entry['secret']!r}.") from None
        each = entry.get("each")
        if each is not None and not (isinstance(each, list) and all(isinstance(item, Mapping) for item in each)):
            raise ConfigError(f"{where}: each must be a list of dictionaries.")
        loop_var = str(self._task.args.get("loop_var", "item"))
        for item in [None] if each is None else each:
            yield ConfigFile(
                dest=_dest(where, entry.get("dest"), item),
                content=self._content(where, entry, variables if item is None else {**variables, loop_var: item}),
                owner=str(entry.get("owner", "root")),
                group=str(entry.get("group", "root")),
                mode=int(mode, 8),
                secret=secret,
                rendered=entry.get("src") is None and entry.get("each_content") is None,
            )

    def _content(self, where: str, entry: Mapping[str, Any], variables: dict[str, Any]) -> bytes:
        if (key := entry.get("each_content")) is not None:
            text = variables.get(str(self._task.args.get("loop_var", "item")), {}).get(key)
            if not isinstance(text, str):
                raise ConfigError(f"{where}: each has no element with a text under the key `{key}`.")
            return text.encode()
        if (text := entry.get("content")) is not None:
            if not isinstance(text, str):
                raise ConfigError(
                    f"{where}: content is not text; turn it into some, for example with `| to_nice_json`."
                )
            return text.encode()
        kind, folder = ("template", "templates") if entry.get("template") else ("src", "files")
        try:
            path = Path(self._find_needle(folder, entry[kind]))
            if kind == "src":
                return Path(self._loader.get_real_file(str(path))).read_bytes()  # decrypts what is in a vault
            return render_file(self._templar, path, variables, variables.get("ansible_search_path", [])).encode()
        except AnsibleError as error:
            raise ConfigError(f"{where}: {error.message}") from error


def _check_options(options: Mapping[str, Any]) -> None:
    name = str(options.get("name", ""))
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ConfigError(
            f"name: {name!r} must be lower-case letters, digits, dots, dashes and underscores, like `nginx`."
        )
    for option in COMMANDS:
        parse_commands(option, _list(options, option))
    for folder in _list(options, "stage_with"):
        if not str(folder).startswith("/"):
            raise ConfigError(f"stage_with: {folder} is not an absolute path; write it like /etc/nginx.")
    for option in ("verify_timeout", "command_timeout"):
        try:
            valid = float(options.get(option, 1)) > 0
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ConfigError(f"{option}: {options[option]!r} is not a number of seconds above 0.")


def _list(options: Mapping[str, Any], option: str) -> list[Any]:
    value = options.get(option) or []
    if not isinstance(value, list):
        raise ConfigError(f"{option} must be a list, even for a single entry.")
    return value


def _settings(options: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = options.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError("settings must be a dictionary, as `preflight` returns it.")
    return settings


def _dest(where: str, dest: Any, item: Mapping[str, Any] | None) -> str:
    """`dest` with each `{key}` replaced from the element of `each`."""

    def value(match: re.Match[str]) -> str:
        if item is None or match[1] not in item:
            raise ConfigError(
                f"{where}: dest {dest} has {match[0]}, but each has no element with the key `{match[1]}`."
            )
        return str(item[match[1]])

    return re.sub(r"\{(\w+)\}", value, str(dest or ""))
