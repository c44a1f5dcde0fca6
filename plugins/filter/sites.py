# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sites of a load balancer: derived from the inventory, and checked before anything changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sites
short_description: Derive the sites of a load balancer from the inventory
description:
  - One site for each C(app_name) of the group C(app_servers), with one server for each member.
  - The result is what the variable C(nginx_sites) of the role P(production.fastapi.nginx#role) takes.
  - A member on the load balancer's own machine (the same C(ansible_host) and C(ansible_port), or the same name) is
    reached by its Unix socket, any other by the address and port in its C(gunicorn_bind).
  - Static files are served by Nginx where the app is on the same machine, and by the app itself elsewhere.
  - A member whose C(app_weight) or C(app_backup) says so gets more of the requests, or only those that no other
    takes.
  - An app whose C(app_public) is false has no site; other apps reach it where its C(gunicorn_bind) says.
  - A member without C(gunicorn_bind) whose machine is a load balancer itself belongs to that load balancer alone, so
    several complete servers in both groups each serve themselves.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, load_balancer
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description:
      - The variables of all hosts. Of the members of C(app_servers) these are read -
        C(app_name), C(app_public), C(app_domains), C(app_source), C(app_static), C(app_site), C(gunicorn_bind),
        C(private_address), C(app_weight), C(app_backup).
    type: dict
    required: true
  load_balancer:
    description: Inventory name of the load balancer.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the sites of this load balancer
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.sites(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The sites, in the order of the inventory, each with C(name), C(domains), C(servers) and C(static).
  type: list
  elements: dict
  sample:
    - name: shop
      domains: [shop.example.com]
      servers: ["unix:/run/shop/http.sock"]
      static: [{url: /static/, folder: /srv/shop/public/current/shop/static}]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.sites import sites


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"sites": sites}
