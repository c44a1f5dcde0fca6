"""Headers that middleware adds to an answer on its way out."""

from collections.abc import Iterable

from starlette.types import Message

# The messages that have headers: the start of an answer, and the end of a WebSocket's handshake.
STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class _Added(list[tuple[bytes, bytes]]):
    """A list that nobody else has."""


def with_headers(message: Message, headers: Iterable[tuple[bytes, bytes]]) -> Message:
    """Return a message of `STARTS` with further headers.

    A response may be sent twice, so its message and its list stay as they are; only the first middleware on the way out
    copies them, and those further out add to its copy.
    """
    present = message.get("headers", ())
    if isinstance(present, _Added):
        present.extend(headers)
        return message
    return {**message, "headers": _Added((*present, *headers))}
