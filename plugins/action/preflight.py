# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the settings of a role before anything changes, on the controller; no host is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.plugin_utils.app import folders_of, path_of
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import converted
from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import CHECKS, STEPS, examine
from ansible_collections.production.fastapi.plugins.plugin_utils.source.hints import hints
from ansible_collections.production.fastapi.plugins.plugin_utils.source.reading import findings


class Variables(Mapping[str, Any]):
    """The variables of a task, each rendered when it is asked for."""

    def __init__(self, names: Mapping[str, Any], value_of: Callable[[str], Any]) -> None:
        """`value_of` renders the variable of a name."""
        self.names, self.value_of = names, value_of

    def __getitem__(self, name: str) -> Any:
        """The value of a variable; raises KeyError when there is none."""
        if name not in self.names:
            raise KeyError(name)
        return self.value_of(name)

    def __iter__(self) -> Iterator[str]:
        """The names of all."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.names)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("role", "host", "seen", "step", "thorough"))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the settings as the role means them, or all sentences in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        known = task_vars or {}
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "role": {"type": "str", "required": True, "choices": sorted(CHECKS)},
                "host": {"type": "dict", "required": True},
                "seen": {"type": "dict", "default": {}},
                "step": {"type": "str", "choices": sorted(STEPS)},
                "thorough": {"type": "bool", "default": False},
            }
        )
        templar = self._templar

        def value_of(name: str) -> Any:
            """The value of a variable. Most are no templates; an expression of the name would be compiled for each."""
            return templar.template(known[name]) if name in known else templar.resolve_variable_expression(name)

        view = View(
            host=known["inventory_hostname"],
            facts=options["host"],
            groups=known["groups"],
            hostvars=known["hostvars"],
            variables=Variables(known, value_of),
            seen=options["seen"],
        )
        found = examine(options["role"], value_of, view, options["step"] or "")
        if options["role"] == "app" and options["thorough"]:
            result["source"] = findings(told_of(found.settings, view), view) if is_new(found.settings, view) else {}
        if found.problems:
            # What is to be told at once, is shown at the end.
            hidden = {"_ansible_no_log": True} if options["thorough"] else {}
            return result | hidden | {"changed": False, "failed": True, "msg": " ".join(found.problems)}
        if options["role"] == "app" and not options["thorough"]:
            result |= self._hints(found.settings, view)
        # Not for people: with -v it would be a page in every run.
        return result | {
            "changed": False,
            "settings": found.settings,
            "derived": found.derived,
            "_ansible_verbose_override": True,
            # Other callbacks than the default one would show what is secret in them.
            "_ansible_no_log": True,
        }

    def _hints(self, settings: Mapping[str, Any], view: View) -> dict[str, Any]:
        """What a source on the controller asks for besides, as warnings, as long as the app is not set up."""
        # A step of the role is given a part of the settings alone.
        source = settings.get("app_source", {})
        folder = path_of(source, folders_of(view.variables)) if "folder" in source else ""
        if not folder or not is_new(settings, view):
            return {}
        python = str(view.facts.get("python_version") or "")
        return {"warnings": hints(Path(folder), source, told_of(settings, view), python)}


def is_new(settings: Mapping[str, Any], view: View) -> bool:
    """Whether the app is not set up on the host yet."""
    return f"gunicorn-{settings['app_name']}" not in view.facts.get("managed", {})


def told_of(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """The settings of the role, and those of others that say what the app is given."""
    told = dict(settings)
    for name, kind in (("app_environment", "dict"), ("app_source", "dict"), ("app_static", "list")):
        with contextlib.suppress(ValueError):  # which the role that reads it refuses
            told[name] = converted(kind, view.variables.get(name))
    return told
