# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the modules that ask an app through Nginx, on a load balancer."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for."""

    DOCUMENTATION = r"""
options:
  address:
    description: The address that Nginx listens on.
    type: str
    default: 127.0.0.1
  port:
    description:
      - The port of Nginx for TLS. Where Nginx's configuration has C(proxy_protocol) for it, connections begin with the
        PROXY protocol.
    type: int
    default: 443
  release_header:
    description: The header of an answer that names the release, as the worker of the role gunicorn sends it.
    type: str
    default: X-Release
"""
