"""Lets no new connection begin at Nginx, which is about to stop; those that have begun go on.

What waits in the queue of a listening socket when that is closed, the kernel resets, although its client was connected
already. So for a second before, a filter on the sockets drops SYN, and Nginx accepts what is in the queue. A client
whose SYN was dropped sends it again after a second, and finds the port closed, or the next address of the name.

Ends with 1, and what the kernel said, when it may not: in a container it needs CAP_NET_ADMIN.
"""

import ctypes
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

PIDFD_GETFD = 438  # the number on every architecture; Python has no function for it
SO_ATTACH_FILTER = 26
# Classic BPF, which begins at the TCP header: byte 13 has the flags; is SYN (2) among them, drop, else accept.
FILTER = ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
LISTENS = "0A"


def listening(pid: int) -> list[int]:
    """The descriptors by which a process listens on TCP."""
    tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == LISTENS}
    return [int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir() if str(link.readlink()) in sockets]


def drop_syn(pid: int, descriptor: int) -> None:
    """Put the filter on the socket that another process has open. Raises OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(PIDFD_GETFD, os.pidfd_open(pid), descriptor, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in FILTER))
    with socket.socket(fileno=copy) as door:
        door.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(FILTER), ctypes.addressof(program)))


def main() -> None:
    """Close the door, and wait until those who were in it are inside."""
    command = ["systemctl", "show", "--property=MainPID", "--value", "nginx"]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    try:
        for descriptor in listening(pid):
            drop_syn(pid, descriptor)
    except OSError as error:
        sys.exit(str(error))
    time.sleep(1)


if __name__ == "__main__":
    main()
