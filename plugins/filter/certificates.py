# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the certificate of each site comes from, and what is wrong with that, before anything changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificates
short_description: Say where the certificate of each site comes from
description:
  - A site has the mode of its C(certificate), else the one that is given.
  - With V(files), C(chain) and C(key) are the paths on the host, to which the role copies them unless they are there.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: mode
options:
  _input:
    description: Sites as the variable C(nginx_sites) of the role P(production.fastapi.nginx#role) has them.
    type: list
    elements: dict
    required: true
  mode:
    description: What holds for a site that does not say.
    type: str
    choices: [letsencrypt, files, self-signed]
    required: true
"""

EXAMPLES = r"""
- name: Show where certificates come from
  ansible.builtin.debug:
    msg: "{{ nginx_sites | production.fastapi.certificates('letsencrypt') }}"
"""

RETURN = r"""
_value:
  description: An entry for each site.
  type: list
  elements: dict
  sample: [{name: shop, domains: [shop.example.com], mode: letsencrypt, chain: "", key: ""}]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.certificates import (
    certificate_problems,
    certificates,
    given_files,
)


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "certificates": certificates,
            "certificate_problems": certificate_problems,
            "given_files": given_files,
        }
