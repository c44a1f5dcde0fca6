"""Calls to another service: deadline > retry > bulkhead and breaker > the time-out of the single try."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from . import context, deadline
from .bulkhead import Bulkhead, BulkheadFull
from .circuit_breaker import CircuitBreaker, CircuitOpen
from .errors import Refusal
from .retry import RetryBudget, RetryPolicy, parse_retry_after, retrying

logger = logging.getLogger(__name__)

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
RETRIED_STATUSES = frozenset({429, 502, 503, 504})

Outcome = Literal["answered", "bad_answer", "busy", "timeout", "broken", "open", "full", "cancelled"]

# Seconds without a request after which a connection is closed from this side. A server closes idle ones as well, and a
# request that meets the close is lost: so less than Gunicorn's 2 seconds and Uvicorn's 5, which are httpx2's, too.
KEEPALIVE_EXPIRY = 1.0

# What describes the way of a body, and not the body.
_OF_TRANSFER = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})

_TIMEOUTS = (TimeoutError, httpx2.TimeoutException)
_NOT_SENT = (httpx2.PoolTimeout, httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.LocalProtocolError)
_BROKEN = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)


@dataclass(frozen=True)
class Timeouts:
    """Seconds for connecting, for each piece of the answer, each piece of the request and a place in the pool.

    `attempt` bounds one try as a whole, which the others do not: a dependency that sends a byte now and then keeps to
    them for ever.
    """

    connect: float = 2.0
    read: float = 10.0
    write: float = 5.0
    pool: float = 2.0
    attempt: float = 12.0


@dataclass(frozen=True, slots=True)
class CallEvent:
    """How one try ended, and how many seconds it took; `attempt` counts from 1."""

    name: str
    outcome: Outcome
    seconds: float
    attempt: int


class DependencyFailed(Refusal):
    """A dependency gave no answer that is of use, or was not called; the cause is chained.

    `status` is 504 when it took too long, 503 when it is busy or was not called (`retry_after` says when to come back),
    502 when the connection broke or its answer was bad. `may_have_arrived` is false when no try can have had an effect:
    every one was refused on this side, found no connection, or was answered 429. (Proxies answer 503 as well for what
    they had passed on.)
    """

    kind = "dependency-failed"

    def __init__(
        self, detail: str, *, status: int, retry_after: float | None = None, may_have_arrived: bool = True
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.status = status
        self.may_have_arrived = may_have_arrived


class BadAnswer(Refusal):
    """An answer of 429 or from 500 on, as the breaker's `is_failure` sees it: by default 429 is none, 5xx is one."""

    def __init__(self, response: httpx2.Response) -> None:
        headers = response.headers
        asked = parse_retry_after(headers.get("Retry-After"), date=headers.get("Date"))
        super().__init__(f"It answered {response.status_code}.", retry_after=asked)
        self.status = response.status_code
        self.response = response


class AnswerTooLarge(Exception):  # noqa: N818 - as Refusal
    """The body of an answer is longer than what is taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")


_UNREADABLE = (httpx2.DecodingError, httpx2.TooManyRedirects, AnswerTooLarge)


def http_client() -> httpx2.AsyncClient:
    """The client that all dependencies share: at most 100 connections, and none that its server may just be closing.

    Proxies in the environment are for the Internet, not for what stands beside us, so they are left alone.
    """
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY)
    return httpx2.AsyncClient(trust_env=False, limits=limits)


class ServiceClient:
    """One dependency, called through an httpx2 client that all dependencies may share.

    `breaker` and `bulkhead` belong to this dependency alone, and so does `budget`. The breaker's probe time-out must be
    longer than a try, or ValueError. `max_answer` is the largest body that is taken, in bytes. Listeners get a
    CallEvent for each try and must not block.
    """

    def __init__(
        self,
        name: str,
        *,
        http: httpx2.AsyncClient,
        base_url: str,
        breaker: CircuitBreaker,
        bulkhead: Bulkhead,
        timeouts: Timeouts = Timeouts(),
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        budget: RetryBudget | None = None,
        max_answer: int = 10 * 2**20,
        listeners: Iterable[Callable[[CallEvent], None]] = (),
    ) -> None:
        if breaker.policy.probe_timeout <= timeouts.attempt:
            raise ValueError(
                f"The breaker's probe_timeout ({breaker.policy.probe_timeout:g} s) must be longer than a try of {name} "
                f"may take (attempt, {timeouts.attempt:g} s)."
            )
        self.name = name
        self.breaker = breaker
        self.bulkhead = bulkhead
        self.timeouts = timeouts
        self.retry = retry
        self.budget = RetryBudget() if budget is None else budget
        self.listeners = list(listeners)
        self.max_answer = max_answer
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._steps = httpx2.Timeout(
            connect=timeouts.connect, read=timeouts.read, write=timeouts.write, pool=timeouts.pool
        )

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        """GET; see `request`."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, *, idempotency_key: str | None = None, **options: Any) -> httpx2.Response:
        """POST; see `request`."""
        return await self.request("POST", path, idempotency_key=idempotency_key, **options)

    async def request(
        self, method: str, path: str, *, idempotency_key: str | None = None, **options: Any
    ) -> httpx2.Response:
        """Call `path` below the base URL and return the answer with its whole body.

        Options are those of `httpx2.AsyncClient.build_request` for body, query and headers. Broken connections,
        time-outs and answers of 429, 502, 503 and 504 are retried when the method is idempotent or there is an
        `idempotency_key`, and the body can be sent twice (a stream cannot). Raises DependencyFailed when they last;
        answers of any other status are returned, with the number of tries in `extensions["attempts"]`. A path
        that holds foreign input must be quoted by the caller.
        """
        request = self._http.build_request(
            method, f"{self._base_url}/{path.lstrip('/')}", timeout=self._steps, **options
        )
        if idempotency_key is not None:
            request.headers["Idempotency-Key"] = idempotency_key
        if request_id := context.request_id():
            request.headers[context.HEADER] = request_id
        request.headers.update(context.trace_headers())
        repeatable = isinstance(request.stream, httpx2.ByteStream) and (
            request.method in IDEMPOTENT or idempotency_key is not None
        )
        attempts = retrying(self.retry, self.budget, retry_on=_is_transient if repeatable else _never)
        number = 0
        arrived = False

        async def attempt() -> httpx2.Response:
            nonlocal number, arrived
            number += 1
            try:
                return await self._observed(request, number)
            except Exception as error:
                arrived = arrived or _may_have_arrived(error)
                raise

        try:
            response: httpx2.Response = await attempts(attempt)
        except BadAnswer as answer:
            if answer.status in RETRIED_STATUSES:
                raise self._failure(answer, arrived=arrived) from answer
            response = answer.response
        except (CircuitOpen, BulkheadFull, *_TIMEOUTS, *_BROKEN, *_UNREADABLE) as error:
            raise self._failure(error, arrived=arrived) from error
        response.extensions["attempts"] = number
        return response

    async def _observed(self, request: httpx2.Request, number: int) -> httpx2.Response:
        started = time.monotonic()
        outcome: Outcome = "answered"
        try:
            return await self._try(request)
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            event = CallEvent(self.name, outcome, time.monotonic() - started, number)
            for listener in self.listeners:
                try:
                    listener(event)
                except Exception:
                    logger.exception("A listener of the client %s failed", self.name)

    async def _try(self, request: httpx2.Request) -> httpx2.Response:
        self.breaker.check()  # an open breaker refuses at once, however long the bulkhead would let one wait
        async with self.bulkhead, self.breaker as call:
            try:
                async with deadline.timeout(self.timeouts.attempt):
                    left = deadline.remaining() or 0.0
                    request.headers[deadline.HEADER] = str(max(1, int(left * 1000)))
                    response = await self._whole(await self._http.send(request, stream=True))
            except Exception as error:
                if not _tells_of_dependency(error):
                    call.ignore()
                raise
            if response.status_code == 429 or response.status_code >= 500:
                raise BadAnswer(response)
            return response

    async def _whole(self, response: httpx2.Response) -> httpx2.Response:
        """Read a response with its body, as long as that is not too large once it is decompressed."""
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self.max_answer:
                    raise AnswerTooLarge(self.max_answer)
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.raw if pair[0].lower() not in _OF_TRANSFER]
        whole = httpx2.Response(
            response.status_code,
            headers=headers,
            content=bytes(body),
            request=response.request,
            extensions=response.extensions,
            history=response.history,
        )
        whole.elapsed = response.elapsed
        return whole

    def _failure(self, error: Exception, *, arrived: bool) -> DependencyFailed:
        detail, status = self._judged(error)
        retry_after = getattr(error, "retry_after", None)
        if isinstance(error, httpx2.PoolTimeout):
            retry_after = self.bulkhead.retry_after
        return DependencyFailed(detail, status=status, retry_after=retry_after, may_have_arrived=arrived)

    def _judged(self, error: Exception) -> tuple[str, int]:
        """The sentence and the status of a failure."""
        match _outcome(error):
            case "timeout":
                return f"{self.name} did not answer in time.", 504
            case "open" | "full":
                return f"{self.name} cannot be called at the moment.", 503
            case "busy":
                return f"{self.name} is busy.", 503
        if isinstance(error, BadAnswer):
            return f"{self.name} answered {error.status}.", 504 if error.status == 504 else 502
        if isinstance(error, AnswerTooLarge):
            return f"{self.name} answered {error}.", 502
        return f"The connection to {self.name} broke.", 502


def _outcome(error: BaseException) -> Outcome:
    match error:
        case CircuitOpen():
            return "open"
        case BulkheadFull() | httpx2.PoolTimeout():
            return "full"
        case BadAnswer(status=429 | 503):
            return "busy"
        case BadAnswer():
            return "bad_answer"
        case TimeoutError() | httpx2.TimeoutException():
            return "timeout"
        case asyncio.CancelledError():
            return "cancelled"
        case httpx2.DecodingError() | httpx2.TooManyRedirects() | AnswerTooLarge():
            return "bad_answer"
    return "broken"


def _tells_of_dependency(error: Exception) -> bool:
    """Whether the dependency is to blame: not for a caller in a hurry, nor a request that could not be sent."""
    if isinstance(error, deadline.DeadlineExceeded):
        return not error.of_request
    if isinstance(error, httpx2.PoolTimeout):
        return False  # the pool is shared: another dependency may have filled it
    return isinstance(error, (*_TIMEOUTS, *_BROKEN, *_UNREADABLE))


def _may_have_arrived(error: Exception) -> bool:
    """Whether the dependency may have done what it was asked for in a try that ended so."""
    if isinstance(error, BadAnswer):
        return error.status != 429
    return not isinstance(error, (CircuitOpen, BulkheadFull, *_NOT_SENT))


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, BadAnswer):
        return error.status in RETRIED_STATUSES
    return isinstance(error, (*_TIMEOUTS, *_BROKEN))


def _never(_error: BaseException) -> bool:
    return False
