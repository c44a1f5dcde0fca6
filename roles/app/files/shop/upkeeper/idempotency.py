"""Idempotency keys: a request that is sent again is not done again, and gets the answer of the first.

After draft-ietf-httpapi-idempotency-key-header-07: 400 without a key, 422 for a key that came with another request, 409
while the first one is still at work (after waiting for it a little). A run that fails frees its key, so a retry runs.

    @app.post("/checkout")
    async def checkout(order: Order, request: Request) -> Response:
        async def pay(key: str) -> Response:
            receipt = await payments.post("/charges", json=order.model_dump(), idempotency_key=key)
            return JSONResponse(receipt.json())

        return await idempotency.respond(request, pay, caller=identity(request))

While Redis is away each process knows only its own keys. Then, and whenever a run failed and nobody can tell whether it
had an effect, only the dependency can recognise the request: that is what the key is passed on for.
"""

import asyncio
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .errors import Refusal
from .key_records import KeyRecords, Outcome
from .shared import SharedRedis

HEADER = "Idempotency-Key"

# Told to the client of an answer that is not the first.
REPLAYED = "Idempotency-Replayed"

logger = logging.getLogger(__name__)

# A string of a structured field (RFC 9651, section 3.3.3) or, as most clients send it, the bare characters.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE = re.compile(r"[!#-~][!-~]{0,254}")

# Seconds that a run which took too long has for its end, before its claim ends too.
_FAREWELL = 1.0

# Below 500, the answers that say "not now" as those above do.
_NOT_NOW = frozenset({408, 425, 429})


class IdempotencyKeyInvalid(Refusal):
    """The request has no key, or what it has is none."""

    status = 400
    kind = "idempotency-key-invalid"


class IdempotencyConflict(Refusal):
    """The first request with this key is still at work."""

    status = 409
    kind = "idempotency-conflict"


class IdempotencyMismatch(Refusal):
    """The key came with another request before."""

    status = 422
    kind = "idempotency-mismatch"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run came to; `replayed` when it was an earlier one. `body` is None when it cannot be kept."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    replayed: bool = False


class IdempotencyStore:
    """Runs what a key stands for once, and keeps the answer.

    All times are seconds. `keep` is how long an answer is replayed. `in_progress` is how long a run may take: it is
    cancelled then, and the claim of a worker that died ends a second later; let it be more than a request may take.
    `wait` is how long a concurrent request waits for the answer. Of an answer `headers` and up to `max_body` bytes are
    kept; a longer one goes to its own client only. `local_keys` bounds what a process keeps while Redis is away.
    """

    def __init__(
        self,
        redis: SharedRedis,
        *,
        keep: float = 86400.0,
        in_progress: float = 60.0,
        wait: float = 5.0,
        headers: Sequence[str] = ("content-type", "content-language", "location", "etag", "link"),
        max_body: int = 65536,
        local_keys: int = 1000,
        prefix: str = "idempotency:",
    ) -> None:
        self._records = KeyRecords(redis, prefix=prefix, local_keys=local_keys)
        self._keep = keep
        self._in_progress = in_progress
        self._wait = wait
        self._headers = tuple(name.lower() for name in headers)
        self._max_body = max_body
        self._finishing: set[asyncio.Task[None]] = set()

    async def respond(
        self, request: Request, work: Callable[[str], Awaitable[Response]], *, caller: str = ""
    ) -> Response:
        """Answer a request that carries a key; `work` gets one to pass on, which is unique to caller and key.

        `caller` is the verified identity, or the client's address: nobody gets an answer that was another's. Raises
        IdempotencyKeyInvalid and what `run` raises. The body must not have been read as a stream or form before. A
        streaming response goes to its own client only: who asks again gets 409, and nothing is done again.
        """
        key = scoped_key(caller, parse_key(request.headers.getlist(HEADER)))
        target = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        made: list[Response] = []

        async def run() -> Answer:
            response = await work(key)
            made.append(response)
            headers = tuple((name, value) for name in self._headers for value in response.headers.getlist(name))
            body = getattr(response, "body", None)  # which a response that streams has not
            return Answer(response.status_code, headers, None if body is None else bytes(body))

        answer = await self.run(key, fingerprint(request.method, target, await request.body()), run)
        if not answer.replayed:
            return made[0]  # with its cookies and background tasks, which are not for a replay
        replay = Response(answer.body, answer.status, {REPLAYED: "true"})
        for name, value in answer.headers:
            replay.headers.append(name, value)
        return replay

    async def run(self, key: str, fingerprint: str, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the kept answer of the key, or run `work` and keep its answer.

        Not kept are an exception, a cancellation, and an answer of 5xx, 408, 425 or 429: then the next request runs.
        Raises IdempotencyMismatch when the fingerprint is not that of the key's first request, IdempotencyConflict when
        the first run does not end within `wait`, TimeoutError when this one does not within `in_progress`, and whatever
        `work` raises.
        """
        token = secrets.token_hex(8)
        end_at = 0.0
        try:
            kept, end_at = await self._claim(key, fingerprint, token)
            if kept is not None:
                return kept
            async with asyncio.timeout_at(end_at):
                answer = await work()
        except BaseException as error:
            if end_at or isinstance(error, asyncio.CancelledError):  # Redis may have the claim already
                await self._finish(self._records.free(key, token))
            raise
        if answer.status >= 500 or answer.status in _NOT_NOW:
            await self._finish(self._records.free(key, token))
        else:
            await self._finish(self._records.keep(key, fingerprint, token, self._encode(answer), self._keep))
        return answer

    async def _claim(self, key: str, fingerprint: str, token: str) -> tuple[Answer | None, float]:
        """Return the kept answer, or None and when (in the loop's time) a run has to end."""
        now = asyncio.get_running_loop().time
        give_up = now() + self._wait
        pause = 0.01
        while True:
            asked = now()
            outcome, kept = await self._records.claim(key, fingerprint, token, self._in_progress + _FAREWELL)
            if outcome is Outcome.CLAIMED:
                return None, asked + self._in_progress
            if outcome is Outcome.ANSWERED:
                return _decode(kept), 0.0
            if outcome is Outcome.OTHER:
                raise IdempotencyMismatch(f"This {HEADER} was used for another request.")
            if now() >= give_up:
                raise IdempotencyConflict(f"A request with this {HEADER} is still at work.", retry_after=1)
            await asyncio.sleep(min(pause, max(0.0, give_up - now())))
            pause = min(pause * 1.5, 0.25)

    async def _finish(self, step: Coroutine[Any, Any, None]) -> None:
        """Take a step to its end even if the request is cancelled meanwhile: what was done must be known as done."""
        task = asyncio.create_task(step)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        await asyncio.shield(task)

    def _encode(self, answer: Answer) -> str:
        body = None
        if answer.body is None:
            logger.warning("A streaming answer cannot be kept for its %s", HEADER)
        elif len(answer.body) > self._max_body:
            logger.warning("An answer of %d bytes is too long to be kept for its %s", len(answer.body), HEADER)
        else:
            body = answer.body.decode("latin-1")
        return json.dumps([answer.status, answer.headers, body], ensure_ascii=False)


def _decode(kept: str) -> Answer:
    status, headers, body = json.loads(kept)
    if body is None:
        raise IdempotencyConflict(f"The request with this {HEADER} is done; its answer could not be kept.")
    return Answer(status, tuple((name, value) for name, value in headers), body.encode("latin-1"), replayed=True)


def parse_key(values: Sequence[str]) -> str:
    """Return the key of a request from its header fields; IdempotencyKeyInvalid when that is not one of 1 to 255."""
    if not values:
        raise IdempotencyKeyInvalid(f"This request needs the header {HEADER}: a new random value for each new request.")
    if len(values) == 1:
        if quoted := _QUOTED.fullmatch(values[0]):
            return re.sub(r"\\(.)", r"\1", quoted[1])
        if _BARE.fullmatch(values[0]):
            return values[0]
    raise IdempotencyKeyInvalid(f"The header {HEADER} must be sent once, with 1 to 255 visible ASCII characters.")


def fingerprint(method: str, target: str, body: bytes) -> str:
    """Return a digest of what a request asks for; `target` is the path with the query."""
    return _digest(method.encode(), target.encode(), body)


def scoped_key(caller: str, key: str) -> str:
    """Return a key that no other caller can have; 64 hexadecimal digits."""
    return _digest(caller.encode("utf-8", "surrogatepass"), key.encode())


def _digest(*parts: bytes) -> str:
    """SHA-256 over parts that cannot run into each other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()
