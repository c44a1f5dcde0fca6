# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Nginx's unit is sandboxed, and what tries its configuration before and after it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils import unit_sandbox

Command = dict[str, Any]

HOMES = ("/home/", "/root/")
# Directives that set how a process is scheduled.
SCHEDULING = ("worker_priority", "worker_cpu_affinity")
# In 127.0.0.0/8, so it takes no port of its own and nobody outside reaches it.
GENERATION_ADDRESS = "127.0.80.80"

MASKED = "nginx.service is masked on this host; allow it with `systemctl unmask nginx`."
REFUSED = (
    "Nginx refuses this configuration, so nothing was changed; the line it names comes from a site of others, from "
    "nginx_main_extra_config, nginx_http_extra_config, or extra_config and proxy_extra_config of a site."
)
NOT_TAKEN = (
    "Nginx did not take the new configuration; `journalctl -u nginx` and /var/log/nginx/error.log say why, often that "
    "another program holds a port."
)
NOT_COUNTED = (
    "The exporter does not tell the counters of Nginx; `journalctl -u prometheus-nginx-exporter` says why, often that "
    "nginx_exporter_listen is not an address of this host, or that another program holds the port."
)


def sandbox(settings: Mapping[str, Any], *, shared: bool) -> list[str]:
    """A site of ours may have its socket or its files there, and what is added to nginx.conf may need such a right."""
    extra = [settings["nginx_http_extra_config"], settings["nginx_main_extra_config"]]
    named = json.dumps([settings["nginx_sites"], *extra], default=str)
    return unit_sandbox.nginx(
        shared=shared,
        reads_homes=any(home in named for home in HOMES),
        reads_tmp="/tmp/" in named,  # noqa: S108  # it is looked for
        schedules=any(each in named for each in SCHEDULING),
    )


def validators(live_certificates: Sequence[str]) -> list[Command]:
    """What tries the stage, which takes the place of /etc/nginx meanwhile: files of others include by whole paths."""
    in_place = 'mount --bind "$0" /etc/nginx && exec nginx -t -q'
    return [
        {"command": ["sh", "-c", 'test "$(systemctl is-enabled nginx 2>/dev/null)" != masked'], "hint": MASKED},
        {
            "command": ["unshare", "--mount", "sh", "-c", in_place, "{stage}/etc/nginx"],
            "requires": ["/usr/sbin/nginx", *live_certificates],
            "hint": REFUSED,
        },
    ]


def verifiers() -> list[Command]:
    """Whether a worker has the new configuration; a reload says ok before it has happened, and when it then fails."""
    program = (
        f'import sys, http.client as h; c = h.HTTPConnection("{GENERATION_ADDRESS}"); c.request("GET", "/"); '
        'sys.exit(c.getresponse().read() != b"@GENERATION@")'
    )
    return [{"command": ["python3", "-c", program], "hint": NOT_TAKEN}]


def exporter_verifiers(listen: str) -> list[Command]:
    """Whether the exporter reaches Nginx."""
    program = (
        f'import sys, http.client as h; c = h.HTTPConnection("{listen}"); c.request("GET", "/metrics"); '
        'sys.exit(b"\\nnginx_up 1\\n" not in c.getresponse().read())'
    )
    return [{"command": ["python3", "-c", program], "hint": NOT_COUNTED}]
