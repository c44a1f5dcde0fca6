"""A real Uvicorn, with uvloop and httptools, in a thread of the test's own process."""

import contextlib
import socket
import threading
import time

import uvicorn


@contextlib.contextmanager
def serve(app, **options):
    """Serve `app` on a free port of loopback and give its address; stop it at the end, with its lifespan."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = {"loop": "uvloop", "http": "httptools", "log_config": None, "timeout_graceful_shutdown": 2} | options
        server = uvicorn.Server(uvicorn.Config(app, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        for _ in range(6000):
            if server.started or not thread.is_alive():
                break
            time.sleep(0.01)
        assert server.started, "Uvicorn did not start"
        yield "http://{}:{}".format(*listener.getsockname())
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "Uvicorn did not stop"
