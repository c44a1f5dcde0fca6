#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records what a migration has brought; the file is that of module_utils/_deploy/schema_record.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schema
short_description: Record which revision the database of an app has
version_added: 0.2.0
description:
  - Writes down which revisions of Alembic a release knows and which one the database has after its migration, in
    C(/var/lib/production.fastapi/NAME/schema.json). A command before the switch may have migrated it, too.
  - M(production.fastapi.releases) refuses to go back to a release that does not know what the database has.
options:
  name:
    description: The app.
    type: str
    required: true
  release:
    description: The release that has migrated.
    type: str
    required: true
  known:
    description: The revisions that it knows.
    type: list
    elements: str
    required: true
  heads:
    description: The revision of the database, or those of its branches.
    type: list
    elements: str
    required: true
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Does nothing.
    support: full
"""

EXAMPLES = r"""
- name: Record what the migration has brought
  production.fastapi.schema:
    name: shop
    release: 4f2a9c01d3e5-8b1c2d3e
    known: [9a1c07d2b6f4, 17ab3c9d0e1f]
    heads: [17ab3c9d0e1f]
"""

RETURN = ""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.schema_record import SchemaRecord


def main() -> None:
    """Run the module."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "known": {"type": "list", "elements": "str", "required": True},
            "heads": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    options = module.params
    record = SchemaRecord(Path("/"), options["name"])
    module.exit_json(changed=record.note(options["release"], options["known"], options["heads"]))


if __name__ == "__main__":
    main()
