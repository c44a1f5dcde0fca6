"""Files that pages of other releases ask for, answered where the app has none.

Written by Ansible, role production.fastapi.gunicorn; gunicorn.conf.py beside it says which folders.

A load balancer on another machine has no files of the app, so the app serves them. In a deploy a page is of one release
and the process that is asked for its script may be of another one, which does not have it. All files of `immutable`
folders are on every server before any process of a new release answers, and stay for some time after the last release
that has them. So what the app answers with 404, or with the page of a front end, is looked for there.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, BinaryIO

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Bytes that are read at once.
PART = 65536
HTML = "text/html"


class KeptFiles:
    """An app with the files of `folders` behind it: paths of URLs, such as `/assets/`, and where their files are."""

    def __init__(self, app: App, folders: Mapping[str, str]) -> None:
        """`app` is asked first."""
        self.app = app
        self.folders = {url.rstrip("/") + "/": folder for url, folder in folders.items()}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer with the file of another release, if the app has none and there is one."""
        name = self.file_of(scope)
        if not name:
            await self.app(scope, receive, send)
            return
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        found: BinaryIO | None = None

        async def unless_kept(message: Message) -> None:
            nonlocal found
            if message["type"] == "http.response.start" and lacks(message, kind):
                found = opened(name)
            if found is None:
                await send(message)

        try:
            await self.app(scope, receive, unless_kept)
            if found is not None:
                await answer(found, kind, send)
        finally:
            if found is not None:
                found.close()

    def file_of(self, scope: Message) -> str:
        """The file that a request may mean; empty for any other request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return ""
        path = scope["path"]
        for url, folder in self.folders.items():
            rest = path.removeprefix(url)
            # No part of it leads out of the folder; nor does a link in it, which has been seen to when it was copied.
            if rest not in (path, "") and "\0" not in rest and not {"", ".", ".."} & set(rest.split("/")):
                return f"{folder}/{rest}"
        return ""


def lacks(start: Message, kind: str) -> bool:
    """Whether the app has no such file, by the beginning of its answer: 404, or a page for what is none."""
    if start["status"] == HTTPStatus.NOT_FOUND:
        return True
    given = next((value for name, value in start.get("headers", ()) if name.lower() == b"content-type"), b"")
    return bool(start["status"] == HTTPStatus.OK and given.startswith(HTML.encode()) and kind != HTML)


def opened(name: str) -> BinaryIO | None:
    """The file, open; None when there is none."""
    for _attempt in range(2):  # the link to the folder may turn, and what it has pointed to is removed
        try:
            file = open(name, "rb")  # noqa: SIM115, PTH123  # who asks closes it
        except IsADirectoryError:
            return None
        except OSError:
            continue
        return file
    return None


async def answer(file: BinaryIO, kind: str, send: Send) -> None:
    """Send a file, a part at a time."""
    headers = [
        (b"content-type", (f"{kind}; charset=utf-8" if kind.startswith("text/") else kind).encode()),
        (b"content-length", b"%d" % os.fstat(file.fileno()).st_size),
        (b"cache-control", b"public, max-age=31536000, immutable"),
    ]
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
    while part := await asyncio.to_thread(file.read, PART):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
