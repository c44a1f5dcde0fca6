"""An app whose workers attack: when they are imported, and for as long as there is a file `go` in `shared`."""

import threading
import time
from pathlib import Path

from common import SECONDS
from start import start

GO = Path("/srv/mallory/shared/go")


def watch() -> None:
    """Start the attackers again while they are wanted."""
    while True:
        if GO.exists():
            start()
            time.sleep(SECONDS)
        time.sleep(0.2)


start()
# They are at work when the import ends, and one of them has no ear for SIGTERM.
time.sleep(1)
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
