#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a set of files in place as one transaction; the work is in module_utils/_config_tree/transaction.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_tree
short_description: Put a set of files in place as one transaction
version_added: 0.1.0
description:
  - Renders all files on the controller, sends them in one round trip, and on the host stages them, validates the
    staged whole, swaps them in by rename, applies and verifies.
  - Any failure, and SIGTERM or SIGHUP, puts back exactly what was there and applies it again. A run that was killed is
    undone by the next run of the same O(name).
  - A file that leaves O(files) leaves the host, and so do empty folders that the transaction had made. A file that was
    there before the transaction first wrote to its path is kept, and comes back when the path leaves O(files).
options:
  name:
    description:
      - Identity of the transaction; C(/var/lib/production.fastapi/NAME.json) remembers what it manages.
      - Lower-case letters, digits, dots, dashes and underscores.
    type: str
    required: true
  state:
    description: V(absent) removes every file of the transaction and brings back what they had displaced.
    type: str
    choices: [present, absent]
    default: present
  files:
    description: The files; everything that this transaction once wrote and that is not in this list is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Absolute path on the host. C({key}) is replaced by that key of each element of O(files[].each).
        type: str
        required: true
      template:
        description: Template to render, looked for like that of M(ansible.builtin.template).
        type: str
      src:
        description: File to copy as it is, looked for like that of M(ansible.builtin.copy).
        type: path
      content:
        description: The text itself.
        type: str
      each_content:
        description: The key of each element of O(files[].each) that has the text itself.
        type: str
      each:
        description: Makes one file per element; the template sees the element as O(loop_var).
        type: list
        elements: dict
      owner:
        description: User name or numeric id.
        type: str
        default: root
      group:
        description: Group name or numeric id.
        type: str
        default: root
      mode:
        description: Octal permissions, quoted.
        type: str
        default: '0644'
      secret:
        description: Never show the content in results, differences or errors.
        type: bool
        default: false
  settings:
    description: >-
      Variables as the templates are to see them, in place of those of the same name. M(production.fastapi.preflight)
      returns them, converted to what they mean.
    type: dict
    default: {}
  loop_var:
    description:
      - Name of the variable in which the template of an entry with O(files[].each) sees the element.
      - Name one of your own where variables may be written in terms of C(item), as in a loop around a role.
    type: str
    default: item
  keep:
    description:
      - Patterns of paths, as the shell has them. A file that this transaction once wrote, that is not in O(files) and
        that one of these fits, stays as it is.
    type: list
    elements: str
    default: []
  inventory:
    description: The name of the inventory that the files come from; it is remembered with them.
    type: str
    default: ""
  seen:
    description:
      - What M(production.fastapi.host_info) has in C(generations) for this transaction, empty for nothing.
      - When another inventory has written since, O(files) and O(keep) know nothing of that, so the run is refused.
    type: str
  digest:
    description:
      - What M(production.fastapi.host_info) has in C(trees) for this transaction. When the files have the same digest,
        the host is not asked.
    type: str
    default: ""
  stage_with:
    description: Existing folders that are copied into the stage, for validators that read a whole tree.
    type: list
    elements: path
    default: []
  validate:
    description:
      - Commands that must accept the staged files, run before anything on the host changes. C({stage}) is a folder
        that mirrors C(/). No shell; either a command line, a list of arguments, or a dictionary.
      - Keys of the dictionary are C(command), C(hint) (a sentence that ends the error) and C(requires) (paths).
      - In check mode a command is left out when its program or one of its C(requires) is not on the host yet.
    type: list
    elements: raw
    default: []
  apply:
    description: Commands that make the service use the files, run after the swap when something changed.
    type: list
    elements: raw
    default: []
  verify:
    description: Commands that must succeed after O(apply), tried until O(verify_timeout) is over.
    type: list
    elements: raw
    default: []
  verify_timeout:
    description: Time for all of O(verify), in seconds.
    type: float
    default: 10
  command_timeout:
    description: Time for a single command, in seconds.
    type: float
    default: 60
  payload:
    description: The rendered files, put there by the action plugin; leave it out.
    type: str
notes:
  - C(@GENERATION@) in a template, in O(files[].content) and in a command becomes RV(generation).
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Tells what would change; validators still run on a stage outside of the managed paths.
    support: full
  diff_mode:
    description: Shows each file; those marked as secret only as changed.
    support: full
"""

EXAMPLES = r"""
- name: Configure Nginx, or leave it as it is
  production.fastapi.config_tree:
    name: nginx
    files:
      - { dest: /etc/nginx/nginx.conf, template: nginx.conf.j2 }
      - { dest: "/etc/nginx/sites/{name}.conf", template: site.conf.j2, each: "{{ nginx_sites }}" }
    stage_with: [/etc/nginx]
    validate:
      - command: nginx -t -q -c {stage}/etc/nginx/nginx.conf
        hint: Look at nginx_extra_config.
    apply: [systemctl reload nginx]
    verify: [systemctl is-active --quiet nginx]

- name: Take it all back
  production.fastapi.config_tree:
    name: nginx
    state: absent
    apply: [systemctl reload nginx]
"""

RETURN = r"""
files:
  description: The paths that changed; C(added), C(changed), C(removed), or C(mode) when only owner or mode differed.
  returned: success
  type: dict
  sample: {/etc/nginx/nginx.conf: changed}
generation:
  description: Digest of the whole tree, sixteen hexadecimal digits; empty when there are no files.
  returned: success
  type: str
  sample: 0f343b0931126a20
skipped_validators:
  description: Validators that check mode could not run, each with what is missing.
  returned: success
  type: list
  elements: str
recovered:
  description: Whether a killed run was found and undone first.
  returned: success
  type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.commands import parse_commands
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigError, decode
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.transaction import ConfigTree

FILE = {
    "dest": {"type": "str", "required": True},
    "template": {"type": "str"},
    "src": {"type": "path"},
    "content": {"type": "str"},
    "each_content": {"type": "str"},
    "each": {"type": "list", "elements": "dict"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "secret": {"type": "bool", "default": False},
}
COMMANDS = {"type": "list", "elements": "raw", "default": []}


def main() -> None:
    """Run the transaction on the host with what the action plugin has rendered."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
            "settings": {"type": "dict", "default": {}},
            "loop_var": {"type": "str", "default": "item"},
            "keep": {"type": "list", "elements": "str", "default": []},
            "inventory": {"type": "str", "default": ""},
            "seen": {"type": "str"},
            "digest": {"type": "str", "default": ""},
            "stage_with": {"type": "list", "elements": "path", "default": []},
            "validate": COMMANDS,
            "apply": COMMANDS,
            "verify": COMMANDS,
            "verify_timeout": {"type": "float", "default": 10},
            "command_timeout": {"type": "float", "default": 60},
            "payload": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    if options["payload"] is None:
        module.fail_json(msg="The files are rendered on the controller; call production.fastapi.config_tree as a task.")
    try:
        result = ConfigTree(
            name=options["name"],
            files=decode(options["payload"]),
            keep=options["keep"],
            inventory=options["inventory"],
            seen=options["seen"],
            stage_with=options["stage_with"],
            validate=parse_commands("validate", options["validate"]),
            apply=parse_commands("apply", options["apply"]),
            verify=parse_commands("verify", options["verify"]),
            verify_timeout=options["verify_timeout"],
            command_timeout=options["command_timeout"],
            check=module.check_mode,
        ).run()
    except ConfigError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The files of {options['name']} cannot be managed: {error}")
    for warning in result.warnings:
        module.warn(warning)
    module.exit_json(
        changed=result.changed,
        files=result.files,
        generation=result.generation,
        skipped_validators=result.skipped,
        recovered=result.recovered,
        **({"diff": result.diff} if module._diff else {}),
    )


if __name__ == "__main__":
    main()
