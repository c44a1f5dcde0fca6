# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules share that ask an app through Nginx; the fragment `through_nginx` documents their options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing_client import VERIFY_ADDRESS, Target
from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import speaks_proxy_protocol

OPTIONS: dict[str, Any] = {
    "address": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "default": 443},
    "release_header": {"type": "str", "default": "X-Release"},
}


def unlimited_target(options: Mapping[str, Any], domain: str, path: str = "") -> Target:
    """Whom a module with these options and a `timeout` asks, from the address that Nginx does not limit."""
    return Target(
        address=options["address"],
        port=options["port"],
        domain=domain,
        path=path,
        timeout=options["timeout"],
        header=options["release_header"],
        source=VERIFY_ADDRESS,
        proxy_protocol=speaks_proxy_protocol(Path("/"), options["port"]),
    )
