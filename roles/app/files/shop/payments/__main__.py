"""`python -m payments` runs the simulator alone: on loopback, or on a Unix socket."""

import argparse

import uvicorn


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m payments", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="the port to listen on (default: %(default)s)")
    parser.add_argument("--uds", metavar="PATH", help="a Unix socket to listen on instead")
    options = parser.parse_args()
    uvicorn.run(
        "payments.main:app",
        host=options.host,
        port=options.port,
        uds=options.uds,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
