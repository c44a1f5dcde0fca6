#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Placeholder certificates, so that a web server can start before there is a real one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: self_signed_certificates
short_description: Keep a self-signed certificate for each site, until a real one takes its place
description:
  - Writes C(NAME/self-signed/fullchain.pem) and C(NAME/self-signed/privkey.pem) for each site, ECDSA P-256, the key
    with mode C(0600), and the link C(NAME/live) to that folder where there is no C(live) yet.
  - A certificate is replaced when its names differ from the domains of the site, when it ends within O(renew_days)
    days, when its key does not belong to it, or when anybody but its owner could read the key.
  - A site whose C(live) leads to another folder serves a real certificate and goes on with that. Where the folder
    is none that the role nginx makes, C(letsencrypt-DIGEST) or C(files-DIGEST), the site is left alone.
  - All sites take one call. The host needs C(openssl).
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  certificates:
    description: The sites, complete; a site that is missing here is obsolete.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the site and of its folder.
        type: str
        required: true
      domains:
        description: Names, wildcards such as C(*.example.com) and IP addresses that the certificate is for.
        type: list
        elements: str
        required: true
  directory:
    description: Folder that has one folder for each site.
    type: path
    default: /etc/ssl/sites
  days:
    description: Life of a new certificate, in days.
    type: int
    default: 365
  renew_days:
    description: A certificate that has fewer days left than this is replaced.
    type: int
    default: 30
  found:
    description:
      - What M(production.fastapi.host_info) has in C(certificates). Where it says that there is nothing to do, the host
        is not asked.
    type: dict
    default: {}
  remove_obsolete:
    description:
      - Remove the certificates of sites that are not in O(certificates). Only what this module made is removed.
      - Do this after the web server has forgotten those sites.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports what would be made or removed and touches nothing.
    support: full
  diff_mode:
    description: Shows the names of each certificate before and after, never a key.
    support: full
notes:
  - Needs root for the default O(directory).
"""

EXAMPLES = r"""
- name: Keep placeholder certificates for two sites
  production.fastapi.self_signed_certificates:
    certificates:
      - name: shop
        domains: [shop.example.com, www.shop.example.com]
      - name: first-try
        domains: [192.0.2.10]
"""

RETURN = r"""
made:
  description: Names of the sites that got a new certificate or a C(live) link.
  returned: always
  type: list
  elements: str
  sample: [shop]
obsolete:
  description: Names of the sites that are not in O(certificates) and have a certificate that this module made.
  returned: always
  type: list
  elements: str
  sample: []
real:
  description: Names of the sites, obsolete ones too, that serve a real certificate which the role nginx keeps.
  returned: always
  type: list
  elements: str
  sample: []
serials:
  description:
    - Serial number of the self-signed certificate of each site, whether the site serves it or not.
    - Empty while there is none.
  returned: always
  type: dict
  sample: {shop: 4F1D2C}
"""

import os
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._nginx.certificate_store import (
    DIRECTORY,
    RENEW_DAYS,
    CertificateError,
    Store,
    canonical,
    is_address,
)


def check(certificates: list[dict[str, Any]]) -> None:
    """Raises CertificateError for a name that is not a folder name, or a domain that could not be in a certificate."""
    for entry in certificates:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", entry["name"]):
            raise CertificateError(f"certificates: name {entry['name']!r} is not a folder name; write one like shop.")
        if not entry["domains"]:
            raise CertificateError(f"certificates: {entry['name']} has no domains; give at least one.")
        for domain in entry["domains"]:
            if not is_address(domain) and not re.fullmatch(r"[A-Za-z0-9.*_-]+", domain):
                raise CertificateError(
                    f"certificates: {domain!r} of {entry['name']} is neither a domain nor an IP address; "
                    "write one like shop.example.com."
                )


def describe(domains: frozenset[str] | list[str]) -> str:
    """The line of a certificate in a diff."""
    return f"self-signed for {', '.join(sorted(map(canonical, domains)))}\n"


def main() -> None:
    """Compare, make what is missing, remove what is obsolete."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "certificates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "domains": {"type": "list", "elements": "str", "required": True},
                },
            },
            "directory": {"type": "path", "default": DIRECTORY},
            "days": {"type": "int", "default": 365},
            "renew_days": {"type": "int", "default": RENEW_DAYS},
            "remove_obsolete": {"type": "bool", "default": False},
            "found": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    options = module.params
    certificates = options["certificates"]
    if module.get_bin_path("openssl") is None and not module.check_mode:
        module.fail_json(msg="The host has no openssl, which makes the certificates; install the package openssl.")

    store = Store(Path(options["directory"]), options["renew_days"], module.run_command)
    made: list[str] = []
    serials: dict[str, str] = {}
    diff: list[dict[str, str]] = []
    real = store.real()
    try:
        check(certificates)
        for entry in certificates:
            site, domains = entry["name"], entry["domains"]
            serials[site] = ""
            if not store.is_placeholder(site) and site not in real:
                continue
            before = store.read(site)
            good = store.is_good(site, domains, before)
            if not good or not store.has_link(site):
                made.append(site)
                path = str(store.directory / site)
                diff.append({"before_header": path, "after_header": path, "after": describe(domains)})
                diff[-1]["before"] = describe(before.names) if before else ""
                if not module.check_mode:
                    if not good:
                        store.make(site, domains, options["days"])
                    if not store.has_link(site):
                        store.link(site)
            after = before if module.check_mode else store.read(site)
            serials[site] = after.serial if after else ""
        obsolete = store.obsolete({entry["name"] for entry in certificates})
        if options["remove_obsolete"]:
            for site in obsolete:
                path = str(store.directory / site)
                diff.append({"before_header": path, "after_header": path, "before": "self-signed\n", "after": ""})
                if not module.check_mode:
                    store.remove(site)
    except (CertificateError, OSError) as error:
        module.fail_json(msg=str(error))
    changed = bool(made or (options["remove_obsolete"] and obsolete))
    module.exit_json(changed=changed, made=made, obsolete=obsolete, real=real, serials=serials, diff=diff)


if __name__ == "__main__":
    main()
