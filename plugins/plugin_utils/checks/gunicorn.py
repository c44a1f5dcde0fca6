# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role gunicorn refuses, a sentence each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.environment import environment_problems
from ansible_collections.production.fastapi.plugins.module_utils._app.files import file_problems
from ansible_collections.production.fastapi.plugins.plugin_utils import gunicorn
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.background import background_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.certificates import key_pair_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View, system_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.names import (
    background_name_problems,
    service_name_problems,
)

# Lowest and highest number of each setting.
RANGES = {
    "gunicorn_backlog": (1, 65535),
    "gunicorn_drain_timeout": (0, 60),
    "gunicorn_graceful_timeout": (1, 3600),
    "gunicorn_keep_releases": (1, 1000),
    "gunicorn_keepalive": (1, 3600),
    "gunicorn_limit_request_field_size": (1, 1048576),
    "gunicorn_limit_request_fields": (1, 32768),
    "gunicorn_limit_request_line": (1, 8190),
    "gunicorn_max_requests": (0, 1000000000),
    "gunicorn_max_requests_jitter": (0, 1000000000),
    "gunicorn_memory_max": (0, 1000000000),
    "gunicorn_observe_time": (0, 3600),
    "gunicorn_start_timeout": (1, 3600),
    "gunicorn_timeout": (1, 86400),
    "gunicorn_websocket_grace": (0, 3600),
    "gunicorn_worker_connections": (1, 1000000),
    "gunicorn_worker_memory": (1, 1000000),
}
# What a release says of itself.
RESERVED = tuple(f"PRODUCTION_FASTAPI_{each}" for each in ("NAME", "RELEASE", "ENTRYPOINT", "DIRECTORY"))


def problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the settings of an app server; no sentence has a value of the environment in it."""
    yield from system_problems(view.facts)
    yield from name_problems(settings)
    yield from address_problems(settings, view)
    yield from tls_problems(settings)
    yield from path_problems(settings)
    yield from app_problems(settings, view)
    yield from time_problems(settings, view)
    for name, (lowest, highest) in RANGES.items():
        if values.number(settings[name], lowest, highest) is None:
            yield f'{name} is "{settings[name]}"; write a whole number from {lowest} to {highest}.'
    yield from variable_problems(settings)
    yield from file_problems(settings["gunicorn_files"])
    processes, jobs = settings["gunicorn_processes"], settings["gunicorn_jobs"]
    yield from background_problems(processes, jobs)
    # The name of an app with releases is checked by the role app.
    if not gunicorn.has_releases(settings):
        yield from service_name_problems(view.facts, settings["gunicorn_name"])
    yield from background_name_problems(view.facts, settings["gunicorn_name"], processes, jobs)


def name_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with names, and with the number of workers."""
    name, release, workers = (settings[f"gunicorn_{each}"] for each in ("name", "release", "workers"))
    if values.name(name) is None:
        yield f'gunicorn_name is "{name}"; write a lower-case letter, then up to 30 letters, digits or dashes.'
    if values.release(release) is None:
        yield f'gunicorn_release is "{release}"; write lower-case letters, digits, dots and dashes.'
    if workers not in ("async", "classic") and values.number(workers, 1, 10**9) is None:
        policies = "async (cores + 1), classic (2 \u00d7 cores + 1) or a number from 1"
        yield f'gunicorn_workers is "{workers}"; write {policies}.'


def address_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with where it listens, and with who gets through."""
    bind, trusted = settings["gunicorn_bind"], settings["gunicorn_trusted_proxies"]
    if values.socket(bind) is None and values.endpoint(bind) is None:
        yield (
            f'gunicorn_bind is "{bind}"; write unix:/PATH or ADDRESS:PORT, such as '
            f"unix:/run/{settings['gunicorn_name']}/http.sock, 10.0.0.5:8000 or [::1]:8000."
        )
    others = [*gunicorn.load_balancers(settings, view), *gunicorn.other_apps(settings, view)]
    if not trusted and (unknown := [each for each in others if values.network(each) is None]):
        yield (
            f'gunicorn_bind is "{bind}", to which only the load balancers (and with app_public false the app servers) '
            f"can connect, but the inventory has no IP address of {', '.join(unknown)}; set private_address of that "
            "host to the IP address that it connects from, or list all of them in gunicorn_trusted_proxies."
        )
    given = [each for each in trusted if each != "*"] + settings["gunicorn_allowed_addresses"]
    if wrong := [str(each) for each in given if values.network(each) is None]:
        yield (
            f"gunicorn_trusted_proxies or gunicorn_allowed_addresses has {', '.join(wrong)}; write IP addresses or "
            "networks, such as 10.0.0.5 or 10.0.0.0/24."
        )


def tls_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the certificate by which load balancers know the app."""
    certificate, key, bind = (settings[f"gunicorn_{each}"] for each in ("tls_certificate", "tls_key", "bind"))
    if bool(certificate) != bool(key):
        yield "gunicorn_tls_certificate and gunicorn_tls_key belong together; set both, or none."
    if certificate and gunicorn.binds_to_path(settings):
        yield (
            f"gunicorn_tls_certificate is for a connection over the network, but gunicorn_bind is {bind}; set "
            "gunicorn_bind to ADDRESS:PORT, or leave gunicorn_tls_certificate empty."
        )
    if certificate and key:
        for problem in key_pair_problems([certificate, key], [settings["gunicorn_name"]]):
            yield f"gunicorn_tls_certificate: {problem}"


def path_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with paths."""
    readiness, folders = settings["gunicorn_readiness_path"], settings["gunicorn_writable_folders"]
    directory, virtualenv = settings["gunicorn_directory"], settings["gunicorn_virtualenv"]
    if readiness and values.url_path(readiness) is None:
        yield (
            f'gunicorn_readiness_path is "{readiness}"; write a path such as /ready, without a query, or leave it '
            "empty."
        )
    if values.path(directory) is None or values.path(virtualenv) is None:
        yield (
            f'gunicorn_directory is "{directory}" and gunicorn_virtualenv is "{virtualenv}"; write absolute paths '
            "without spaces, quotes or ..."
        )
    if [each for each in folders if values.path(each) is None or "%" in each]:
        yield f"gunicorn_writable_folders is {json.dumps(folders)}; write absolute paths without spaces, quotes or %."


def app_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the app that is to run."""
    entrypoint, user = settings["gunicorn_entrypoint"], settings["gunicorn_user"]
    if entrypoint and values.entrypoint(entrypoint) is None:
        yield (f'gunicorn_entrypoint is "{entrypoint}"; write MODULE:ATTRIBUTE or MODULE:FACTORY(), such as main:app.')
    if gunicorn.has_releases(settings):
        return
    if not entrypoint:
        yield (
            "gunicorn_entrypoint is empty; write MODULE:ATTRIBUTE, such as main:app, for the app in "
            f"{settings['gunicorn_directory']}."
        )
    if user not in view.facts["users"]:
        yield f'The user "{user}" does not exist; make it, or set gunicorn_user to the owner of the app.'
    if not view.seen.get("gunicorn", True):
        yield (
            f"There is no {settings['gunicorn_virtualenv']}/bin/gunicorn; set gunicorn_virtualenv to a virtualenv with "
            "gunicorn, uvicorn-worker, uvloop and httptools."
        )


def time_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with times that depend on each other; those that are no number are told elsewhere."""
    deadline = view.variables.get("app_request_timeout", 30)
    timeout, graceful = settings["gunicorn_timeout"], settings["gunicorn_graceful_timeout"]
    websocket, keepalive = settings["gunicorn_websocket_grace"], settings["gunicorn_keepalive"]
    if is_above(deadline, timeout) or values.decimal(deadline) == values.decimal(timeout):
        yield (
            f"app_request_timeout ({deadline} s) must be below gunicorn_timeout ({timeout} s); raise gunicorn_timeout "
            "or lower app_request_timeout."
        )
    if is_above(deadline, graceful):
        yield (
            f"app_request_timeout ({deadline} s) must not be above gunicorn_graceful_timeout ({graceful} s), or a "
            "reload cuts requests off; raise gunicorn_graceful_timeout or lower app_request_timeout."
        )
    if is_above(websocket, graceful):
        yield (f"gunicorn_websocket_grace ({websocket} s) must not be above gunicorn_graceful_timeout ({graceful} s).")
    idle = gunicorn.nginx_idle(view)
    if values.decimal(keepalive) is not None and not is_above(keepalive, idle):
        yield (
            f"gunicorn_keepalive ({keepalive} s) must be above the {idle} s for which Nginx keeps idle connections, or "
            f"requests arrive on closed ones; write {idle + 15} or more."
        )


def is_above(value: Any, bound: Any) -> bool:
    """Whether one number is above the other; false where one is not a number."""
    number, other = values.decimal(value), values.decimal(bound)
    return number is not None and other is not None and number > other


def variable_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the environment."""
    environment = settings["gunicorn_environment"]
    if not isinstance(environment, Mapping):
        return
    if taken := [name for name in environment if name in RESERVED]:
        yield f"app_environment (gunicorn_environment): {', '.join(taken)} is set by the roles; use another name."
    yield from environment_problems(environment)
