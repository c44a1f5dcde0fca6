#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes an app, or all of the collection, from a host; the work is in module_utils/_server/removal.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: removal
short_description: Take an app, or all that the roles have made, from a host
version_added: 0.2.0
description:
  - Stops the units of the app and removes them, its configuration, releases, accounts, history and certificates.
    What its files had displaced comes back.
  - What is to go is read from the host, so no variable of the app is needed. A removal that was killed is finished by
    the next one.
  - Nginx is configured without the site before, by the role P(production.fastapi.nginx#role); while it serves the site,
    the certificates stay.
options:
  app:
    description: The app that goes.
    type: str
  everything:
    description:
      - All apps go, the configuration of Nginx, Redis and keepalived, certificates, programs and the record of the
        collection. Packages stay.
    type: bool
    default: false
  data:
    description: Whether the data of the apps goes too, which is in C(shared). Else it is left to root, and named.
    type: bool
    default: false
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Tells what would go.
    support: full
  diff_mode:
    description: RV(gone) says it all.
    support: none
"""

EXAMPLES = r"""
- name: Take an app from the host, and keep its data
  production.fastapi.removal:
    app: blog

- name: Take all of the collection from the host
  production.fastapi.removal:
    everything: true
"""

RETURN = r"""
gone:
  description: What was removed, or would be, a phrase each.
  returned: success
  type: list
  elements: str
  sample: [unit blog.socket (active), /srv/blog/releases, user blog]
stays:
  description: What is still there of it, a phrase each.
  returned: success
  type: list
  elements: str
  sample: [/srv/blog/shared with 2 files (3120 bytes); -e data=true removes it too]
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigError
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._server.removal import Removal, RemovalError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str"},
            "everything": {"type": "bool", "default": False},
            "data": {"type": "bool", "default": False},
        },
        required_one_of=[("app", "everything")],
        supports_check_mode=True,
    )
    os.umask(0o022)
    given = module.params
    removal = Removal(Host(), data=given["data"], check=module.check_mode)
    try:
        if given["everything"]:
            removal.everything()
        else:
            removal.app(given["app"])
    except (RemovalError, ReleaseError, ConfigError, OSError) as error:
        module.fail_json(msg=str(error), gone=removal.gone, stays=removal.stays, changed=bool(removal.gone))
    module.exit_json(changed=bool(removal.gone), gone=removal.gone, stays=removal.stays)


if __name__ == "__main__":
    main()
