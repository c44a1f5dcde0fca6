# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that fetches an archive, as the build account in a unit of its own; it needs only the standard library.

    archive_client.py FILE TARGET    fetch the URL in FILE into TARGET

A proxy and a bundle of certificates come from the environment, as they do for git and uv.
"""

from __future__ import annotations

import shutil
import sys
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Seconds in which a server has to say something.
TIMEOUT = 60


def fetch(url: str, target: Path) -> None:
    """Write what is at a URL into a file; raises `OSError` or `ValueError` when it cannot be had."""
    parts = urlsplit(url)
    credentials, _at, server = parts.netloc.rpartition("@")
    address = parts._replace(netloc=server).geturl()
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if credentials:
        user, _colon, password = credentials.partition(":")
        # Sent at once, and only to this address: many stores hide what they have instead of asking who wants it.
        passwords.add_password(None, address, unquote(user), unquote(password), is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    with opener.open(address, timeout=TIMEOUT) as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file)


def main(arguments: list[str]) -> str:
    """Do what the command line says; returns why it cannot be done, or nothing."""
    file, target = map(Path, arguments)
    try:
        fetch(file.read_text(encoding="utf-8"), target)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]) or None)
