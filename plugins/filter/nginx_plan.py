# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How our part of Nginx's configuration fits in with what is served besides, for the templates of the role nginx."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nginx_plan
short_description: Fit our part of Nginx's configuration in with what is served besides
description:
  - The text of C(nginx.conf), settings outside of servers, and what our servers listen on.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  _input:
    description: C(nginx) of the result of M(production.fastapi.host_info).
    type: dict
    required: true
  keep:
    description: Whether sites of others are served.
    type: bool
    default: true
  ipv6:
    description: Whether to listen on IPv6 as well.
    type: bool
    default: true
  http2_directive:
    description: Whether the installed Nginx has the directive C(http2).
    type: bool
    default: true
  proxy_protocol:
    description: Whether all connections begin with the PROXY protocol.
    type: bool
    default: false
  worker_connections:
    description: Connections of each worker.
    type: int
    default: 4096
  files_limit:
    description: Files that a worker may open.
    type: int
    default: 9216
"""

EXAMPLES = r"""
- name: Show what is served on this host besides our sites
  ansible.builtin.debug:
    msg: "{{ __fastapi_host.nginx | production.fastapi.nginx_plan }}"
"""

RETURN = r"""
_value:
  description:
    - C(main), the text of nginx.conf; C(main_settings) and C(http_settings), directives; C(shared), whether others have
      sites; C(access_log), a path; C(default_gives_way), whether the site that the package enables is not served.
    - C(http_doors), C(tls_doors), what our servers listen on, and of these C(own_http_doors), C(own_tls_doors), where
      nobody else does.
  type: dict
  sample: {main: "user www-data; ...", main_settings: [worker_rlimit_nofile 9216], http_settings: [], shared: false,
    access_log: /var/log/nginx/access.log, default_gives_way: true, http_doors: ["80"], tls_doors: [443 ssl],
    own_http_doors: ["80"], own_tls_doors: [443 ssl]}
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_plan import Choices, plan


def nginx_plan(existing: Mapping[str, Any], **choices: Any) -> dict[str, Any]:
    """The plan as a dictionary."""
    return asdict(plan(existing, Choices(**choices)))


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"nginx_plan": nginx_plan}
