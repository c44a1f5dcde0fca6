"""An app whose workers attack: when they are imported, and whenever the file `go` in `shared` is touched."""

import threading
import time
from pathlib import Path

from start import start

GO = Path("/srv/mallory/shared/go")


def touched() -> int:
    """When it was touched; 0 for never."""
    return GO.stat().st_mtime_ns if GO.exists() else 0


def watch() -> None:
    """Start the attackers again for each touch."""
    known = touched()
    while True:
        time.sleep(0.2)
        if known != (known := touched()):
            start()


start()
threading.Thread(target=watch, daemon=True).start()


async def app(scope, receive, send):
    """Answer everything with 200."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mallory"})
