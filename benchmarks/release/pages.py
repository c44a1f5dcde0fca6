"""Pages that browsers keep open while releases change, every file of theirs checked.

    pages.py make FOLDER BUILD
    pages.py open ADDRESS DOMAIN PAGES SECONDS OUTPUT

`make` gives the source in FOLDER the files of a front end: a page, and files with the hash of their contents in their
names. All but one of them are others in each BUILD.

`open` has PAGES clients. Each loads the page with the files that it begins with, keeps it open for so many SECONDS,
and asks meanwhile for each of the page's other files once, in an order of its own, so that many of them were never
asked for before. Then it opens the page again. At SIGTERM it ends, when each has had a page open for its time. OUTPUT
is as that of load.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import uvloop
from load import Client, Load, WrongError

LAZY = 100
NAME = re.compile(r"[a-z]+[0-9]*-([0-9a-f]{16})\.js")


def make(folder: Path, build: int) -> None:
    """Write the files of a build into a source."""
    texts = {"vendor": "the same in each build", "app": f"app {build}"}
    texts |= {f"lazy{number}": f"{build} {number} " + "x" * 2000 for number in range(LAZY)}
    (folder / "assets").mkdir()
    names = {name: f"{name}-{sum_of(text)}.js" for name, text in texts.items()}
    for name, text in texts.items():
        (folder / "assets" / names[name]).write_text(text)
    (folder / "page.html").write_text("\n".join(names.values()))


def sum_of(text: str) -> str:
    """What the name of a file says of its contents."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def asset(load: Load, client: Client, kind: str, name: str) -> None:
    """A file that has to be there, with the contents that its name says."""
    with load.request(kind) as record:
        text, record.answered_by = await client.ask("GET", f"/assets/{name}", keep=True)
        if sum_of(text) != NAME.fullmatch(name)[1]:  # type: ignore[index]  # all names are ours
            raise WrongError("another file")


async def page(load: Load, seconds: float, *, whole: bool) -> None:
    """A page from its first request to its end; one that need not be `whole` ends with the load."""
    client, names = Client(load), list[str]()
    with load.request("page") as record:
        text, record.answered_by = await client.ask("GET", "/page", keep=True)
        names = NAME.findall(text) and text.split("\n")
    first, lazy = names[:2], random.sample(names[2:], max(0, len(names) - 2))
    for name in first:
        await asset(load, client, "first", name)
    began = time.monotonic()
    for number, name in enumerate(lazy, 1):
        await asyncio.sleep(max(0.0, began + number * seconds / len(lazy) - time.monotonic()))
        if load.stopping and not whole:
            break
        await asset(load, client, "lazy", name)
    client.close()
    if not names:
        await asyncio.sleep(1)


async def browser(load: Load, number: int, pages: int, seconds: float) -> None:
    """One page after the other, the first one within a third of its time."""
    await asyncio.sleep(number * seconds / 3 / pages)
    await page(load, seconds, whole=True)
    while not load.stopping:
        await page(load, seconds, whole=False)


async def run(load: Load, pages: int, seconds: float) -> None:
    """All of them at once."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, load, "stopping", True)
    async with asyncio.TaskGroup() as browsers:
        for number in range(pages):
            browsers.create_task(browser(load, number, pages, seconds))


def main() -> None:
    """Run as a program."""
    what, *given = sys.argv[1:]
    if what == "make":
        make(Path(given[0]), int(given[1]))
        return
    address, domain, pages, seconds, output = given
    os.environ.pop("SSLKEYLOGFILE", None)
    with Path(output).open("w", encoding="utf-8") as file:
        uvloop.run(run(Load(address, domain, 0, {}, file), int(pages), float(seconds)))


if __name__ == "__main__":
    main()
