# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites of a server that came from another inventory: they are left alone, and ours must not be in their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Site = Mapping[str, Any]


def is_foreign(site: Site, inventory: str) -> bool:
    """Whether a site that a server remembers is one of another inventory; one without a name may be anybody's."""
    return bool(inventory) and site.get("inventory", "") not in ("", inventory)


def names_of(domains: Any) -> set[str]:
    """Domains as they compare."""
    return {str(domain).lower() for domain in ([domains] if isinstance(domains, str) else domains or ())}


def other_sites(known: Mapping[str, Site], inventory: str, ours: Iterable[Site]) -> list[dict[str, Any]]:
    """The sites on a server that came from another inventory, and that ours has not taken over by the same name."""
    taken = {str(site["name"]) for site in ours}
    return [dict(site) for name, site in sorted(known.items()) if is_foreign(site, inventory) and name not in taken]


def foreign_site_problems(ours: Iterable[Site], known: Mapping[str, Site], inventory: str) -> Iterator[str]:
    """Why our sites cannot be beside those of another inventory.

    One with the same name and a domain in common is the same site, whose inventory was moved or renamed.
    """
    foreign = {name: site for name, site in known.items() if is_foreign(site, inventory)}
    for site in ours:
        name, domains = str(site["name"]), names_of(site.get("domains"))
        same = foreign.get(name)
        if same and not domains & names_of(same["domains"]):
            yield (
                f"Site {name}: this server has a site {name} for {', '.join(same['domains'])} from the inventory "
                f"{same['inventory']}; use another app_name, or remove that one with its inventory."
            )
        for other, their in foreign.items():
            if other != name and (shared := domains & names_of(their["domains"])):
                yield (
                    f"Site {name}: this server has {', '.join(sorted(shared))} in the site {other} from the inventory "
                    f"{their['inventory']}; remove it from one of the two."
                )
