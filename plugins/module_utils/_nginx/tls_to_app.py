# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS between Nginx and an app, for whoever asks the app as Nginx does."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path


def over_tls(connection: socket.socket, trusted: Path, name: str) -> socket.socket:
    """The connection with TLS; as it is where there is no file `trusted` with the certificates that the app may show.

    `name` is what the certificate has to be for. Raises ssl.SSLError, which is an OSError, for another certificate.
    """
    if not trusted.is_file():
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(trusted)
    return context.wrap_socket(connection, server_hostname=name)
