# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The random value of a run, by which digests of files are keyed; no output shows it.

The filter `hosts_of` is asked by each play before Ansible forks, so all tasks have the same one. Where it was not, each
has its own, no digest fits, and the host is asked.
"""

from __future__ import annotations

import secrets

KEY = secrets.token_hex(32)
