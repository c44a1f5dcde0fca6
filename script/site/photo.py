"""Photograph a page with Chromium: photo.py FILE.png ADDRESS [--height=PIXELS] [--map=NAME:ADDRESS]

It is run with the Python of the sample service's tests, which has Playwright.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from playwright.sync_api import sync_playwright


def main() -> None:
    """Read the command line and take the picture."""
    parser = argparse.ArgumentParser(description="Photograph a page.")
    parser.add_argument("target")
    parser.add_argument("address")
    parser.add_argument("--height", type=int, default=700)
    parser.add_argument("--map", default="", help="NAME:ADDRESS, where a name leads")
    given = parser.parse_args()
    program = shutil.which("chromium")
    if not program:
        sys.exit("chromium is missing: install Debian's package chromium.")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    if given.map:
        arguments.append("--host-resolver-rules=MAP " + given.map.replace(":", " ", 1))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(
            viewport={"width": 1000, "height": given.height}, ignore_https_errors=True, color_scheme="light"
        )
        page.goto(given.address, wait_until="networkidle")
        page.screenshot(path=given.target)
        browser.close()


if __name__ == "__main__":
    main()
