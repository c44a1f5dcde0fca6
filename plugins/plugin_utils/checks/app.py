# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role app refuses, a sentence each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import FORMS, LISTED
from ansible_collections.production.fastapi.plugins.module_utils._release.install import UV_VERSION
from ansible_collections.production.fastapi.plugins.plugin_utils import app
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View, system_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.names import app_name_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.shared import shared_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_plan import batches
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import servers_of
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import static_entries, static_of

HIGHEST = 10**9
SERVING = ("gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools", "websockets", "typing-extensions")
KEYS = {
    "git": ("git", "version", "subdirectory", "key"),
    "folder": ("folder", "include", "subdirectory"),
    "archive": ("archive", "checksum", "subdirectory"),
    "package": ("package", "version"),
}


def problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the settings of an app; no sentence has a value of its environment in it."""
    yield from system_problems(view.facts)
    yield from name_problems(settings, view)
    yield from source_problems(settings, view)
    yield from build_problems(settings)
    yield from deploy_problems(settings)
    yield from canary_problems(settings, view)
    shared = f"/srv/{settings['app_name']}/shared"
    get = view.variables.get
    static: Sequence[Mapping[str, Any]] = []
    try:
        static = static_entries(get("app_static"), settings["app_source"])
        for entry in static:
            static_of(settings["app_name"], entry)
    except AnsibleFilterError as error:
        yield str(error.message)
    yield from shared_problems(settings["app_shared"], static, shared, get("gunicorn_writable_folders"))


def name_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the name of an app and with its domains."""
    name = settings["app_name"]
    if values.name(name) is None:
        yield (
            f'app_name "{name}" is invalid: use 1 to 31 lower-case letters, digits or hyphens, starting with a letter.'
        )
    yield from app_name_problems(view.facts, name)
    if str(view.variables.get("app_installer") or "uv") != "uv":
        yield "app_installer was removed: remove the variable, because uv is the only installer."
    # The steps of a deploy read it as it is written.
    if not isinstance(view.variables["app_domains"], list):
        yield "app_domains: write a list of domains, as [shop.example.com]."


def source_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with where the app comes from, and with the version that the command line asks for."""
    source, version = settings["app_source"], view.variables.get("version")
    kind = app.kind_of(source)
    if version is not None and kind not in ("git", "package"):
        yield (
            f"version: -e version={version} is for an app_source of git or a package; change the {kind or 'sample'} "
            "instead."
        )
    if not source:
        return
    if len([each for each in app.KINDS if each in source]) != 1:
        yield f"app_source: name one of git, folder, archive and package, and not several: {', '.join(source)}."
        return
    if unknown := [key for key in source if key not in KEYS[kind]]:
        yield f"app_source: {kind} does not know {', '.join(unknown)}; it takes {', '.join(KEYS[kind])}."
    if app.is_local(source) and not app.path_of(source, app.folders_of(view.variables)):
        yield (
            f"app_source.{kind}: the controller has no {source[kind]}, neither beside the inventory nor beside the "
            "playbook."
        )
    subdirectory = str(source.get("subdirectory", ""))
    if subdirectory.startswith("/") or ".." in subdirectory.split("/"):
        yield f"app_source.subdirectory: write {subdirectory} as a path inside the source, without ..."
    yield from archive_problems(source)
    if kind == "package":
        yield from package_problems(source, settings["app_entrypoint"])


def archive_problems(source: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an archive and its checksum."""
    checksum = source.get("checksum")
    if app.is_url(source) and checksum is None:
        yield "app_source.checksum: an archive from a URL needs its checksum, as sha256: and 64 hexadecimal digits."
    if checksum is not None and values.checksum(checksum) is None:
        yield f"app_source.checksum: write {checksum} as sha256: and 64 hexadecimal digits."
    if app.is_url(source) and not values.is_http(str(source["archive"])):
        yield "app_source.archive: use a URL with http:// or https://."


def package_problems(source: Mapping[str, Any], entrypoint: str) -> Iterator[str]:
    """What is wrong with a package of an index."""
    if values.package_version(source.get("version", "")) is None:
        yield "app_source.version: name the version of the package, as 1.2.3."
    if values.package(source["package"]) is None:
        yield f"app_source.package is {source['package']}; write the name of a package, such as shop."
    if not entrypoint:
        yield "app_entrypoint: a package does not say where its app is; write it as module:attribute."


def build_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how a release is built."""
    entrypoint, python = settings["app_entrypoint"], settings["app_python"]
    dependencies = str(settings["app_dependencies"])
    if dependencies not in ("auto", *FORMS) and not LISTED.fullmatch(dependencies):
        yield (
            f"app_dependencies: write {dependencies} as auto, {', '.join(FORMS)}, or the path of a file in the source"
            " that ends with .txt, as requirements/production.txt."
        )
    if unknown := [name for name in settings["app_ignore_pins"] if name not in SERVING]:
        named = ", ".join(map(str, unknown))
        yield f"app_ignore_pins: {named} does not serve the app; name some of {', '.join(SERVING)}."
    version, hashes = settings["app_uv_version"], settings["app_uv_hashes"]
    if entrypoint and values.entrypoint(entrypoint) is None:
        yield (
            f"app_entrypoint: write {entrypoint} as module:attribute, such as shop.main:app, or as module:factory()."
        )
    if python and values.python(python) is None:
        yield f'app_python: write {python} as a version such as "3.12", in quotes.'
    if version not in ("", UV_VERSION) and not hashes:
        yield (
            f"app_uv_hashes: {version} is not the version of uv whose hashes are known here; write those of its wheels "
            'for your hosts, as ["sha256:\u2026"].'
        )
    if None in map(values.checksum, hashes):
        yield "app_uv_hashes: write each as sha256: and 64 hexadecimal digits."


def deploy_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how a release is deployed."""
    lock, migrate, hook, canary = (
        settings[f"app_{each}"] for each in ("lock_timeout", "migrate_timeout", "hook_timeout", "canary_time")
    )
    longest = max(seconds(migrate), seconds(hook))
    if seconds(lock) <= longest:
        yield (
            f"app_lock_timeout ({lock} s) must be above app_migrate_timeout ({migrate} s) and app_hook_timeout "
            f"({hook} s), or another deploy could take the lock during a long step."
        )
    if seconds(migrate) < 1 or seconds(hook) < 1:
        yield "app_migrate_timeout and app_hook_timeout: use 1 second or more."
    if seconds(canary) >= seconds(lock):
        yield (
            f"app_lock_timeout ({lock} s) must be above app_canary_time ({canary} s), or another deploy could "
            "take the lock during the canary."
        )
    sizes = settings["app_batches"]
    if not sizes or None in map(values.batch, sizes):
        yield (
            f"app_batches is {json.dumps(sizes)}; write numbers of servers from 1, or shares up to 100%, such as "
            '[1, "50%"].'
        )
    path, rate, budget = (settings[f"app_{each}"] for each in ("verify_path", "receipt_rate", "receipt_budget"))
    if values.asked_path(path) is None:
        yield f"app_verify_path: write {path} as a path such as /healthz."
    if values.number(rate, 1, 200) is None:
        yield f"app_receipt_rate is {rate}; write 1 to 200 requests a second."
    if not is_share(budget):
        yield f"app_receipt_budget must be from 0 to 100, the share of requests in percent (got {shown(budget)})."
    timeout = settings["app_request_timeout"]
    if values.number(timeout, 1, HIGHEST) is None:
        yield f"app_request_timeout must be at least 1 second (got {timeout})."


def canary_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with a canary, and what it needs: Nginx's log in JSON, and servers with the release before."""
    time, errors, slowdown, requests = (
        settings[f"app_canary_{each}"] for each in ("time", "max_errors", "max_slowdown", "min_requests")
    )
    if not is_share(errors):
        yield f"app_canary_max_errors must be from 0 to 100, the share of requests in percent (got {shown(errors)})."
    if (values.decimal(slowdown) or 0) < 1:
        yield f"app_canary_max_slowdown must be at least 1 (got {shown(slowdown)})."
    if values.number(requests, 1, HIGHEST) is None:
        yield f"app_canary_min_requests must be at least 1 (got {requests})."
    if values.number(time, 0, 0) is None and values.number(time, 10, 3600) is None:
        yield f"app_canary_time is {time}; write 10 to 3600 seconds, or 0 for no canary."
    if seconds(time) <= 0:
        return
    if not (settings["app_receipt"] and settings["app_domains"]):
        yield (
            "app_canary_time: a canary needs app_receipt: true and app_domains, so that the probe can send requests if "
            "traffic is low."
        )
    balancers = view.groups.get("load_balancers", [])
    if without := [host for host in balancers if view.hostvars[host].get("nginx_access_log", "json") != "json"]:
        yield (
            "app_canary_time: a canary is judged by Nginx's access log; set nginx_access_log to json on "
            f"{', '.join(without)}."
        )
    servers = servers_of(view.groups.get("app_servers", []), settings["app_name"], view.hostvars)
    sizes = settings["app_batches"]
    if sizes and None not in map(values.batch, sizes) and not batches(servers, sizes)[1:]:
        yield (
            f"app_canary_time: {settings['app_name']} has no server beside the first batch of app_batches to compare a "
            "canary with; add servers, make that batch smaller, or set app_canary_time to 0."
        )


def seconds(value: Any) -> int:
    """A time as a whole number; 0 for what is none, which is told elsewhere."""
    return values.number(value, 0, HIGHEST) or 0


def is_share(value: Any) -> bool:
    """Whether a value is a number of percent."""
    number = values.decimal(value)
    return number is not None and 0 <= number <= 100


def shown(value: Any) -> str:
    """A number as a person writes it, 101 rather than 101.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)
