"""Calls to another service: deadline > retry > bulkhead and breaker > the time-out of the single try."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from resilience import context, deadline
from resilience.bulkhead import Bulkhead, BulkheadFull
from resilience.circuit_breaker import CircuitBreaker, CircuitOpen
from resilience.errors import Refusal
from resilience.retry import RetryBudget, RetryPolicy, parse_retry_after, retrying

logger = logging.getLogger(__name__)

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
RETRIED_STATUSES = frozenset({429, 502, 503, 504})

Outcome = Literal["answered", "bad_answer", "busy", "timeout", "broken", "open", "full", "cancelled"]

# Seconds without a request after which a connection is closed from this side. A server closes idle ones as well, and a
# request that meets the close is lost: so less than Gunicorn's 2 seconds and Uvicorn's 5, which are httpx2's, too.
KEEPALIVE_EXPIRY = 1.0

_TIMEOUTS = (TimeoutError, httpx2.TimeoutException)
_BROKEN = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)
_UNREADABLE = (httpx2.DecodingError, httpx2.TooManyRedirects)


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
    502 when the connection broke or its answer was bad.
    """

    def __init__(self, detail: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.status = status


class BadAnswer(Refusal):
    """An answer of 429 or from 500 on, as the breaker's `is_failure` sees it: by default 429 is none, 5xx is one."""

    def __init__(self, response: httpx2.Response) -> None:
        headers = response.headers
        asked = parse_retry_after(headers.get("Retry-After"), date=headers.get("Date"))
        super().__init__(f"It answered {response.status_code}.", retry_after=asked)
        self.status = response.status_code
        self.response = response


def http_client() -> httpx2.AsyncClient:
    """The client that all dependencies share: at most 100 connections, and none that its server may just be closing.

    Proxies in the environment are for the Internet, not for what stands beside us, so they are left alone.
    """
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY)
    return httpx2.AsyncClient(trust_env=False, limits=limits)


class ServiceClient:
    """One dependency, called through an httpx2 client that all dependencies may share.

    `breaker` and `bulkhead` belong to this dependency alone, and so does `budget`. The breaker's probe time-out must be
    longer than a try, or ValueError. Listeners get a CallEvent for each try and must not block.
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
        answers of any other status are returned. A path that holds foreign input must be quoted by the caller.
        """
        request = self._http.build_request(
            method, f"{self._base_url}/{path.lstrip('/')}", timeout=self._steps, **options
        )
        if idempotency_key is not None:
            request.headers["Idempotency-Key"] = idempotency_key
        if request_id := context.request_id():
            request.headers[context.HEADER] = request_id
        repeatable = isinstance(request.stream, httpx2.ByteStream) and (
            request.method in IDEMPOTENT or idempotency_key is not None
        )
        attempts = retrying(self.retry, self.budget, retry_on=_is_transient if repeatable else _never)
        number = 0

        async def attempt() -> httpx2.Response:
            nonlocal number
            number += 1
            return await self._observed(request, number)

        try:
            return await attempts(attempt)
        except BadAnswer as answer:
            if answer.status not in RETRIED_STATUSES:
                return answer.response
            raise self._failure(answer) from answer
        except (CircuitOpen, BulkheadFull, *_TIMEOUTS, *_BROKEN, *_UNREADABLE) as error:
            raise self._failure(error) from error

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
                    response = await self._http.send(request)
            except Exception as error:
                if not _tells_of_dependency(error):
                    call.ignore()
                raise
            if response.status_code == 429 or response.status_code >= 500:
                raise BadAnswer(response)
            return response

    def _failure(self, error: Exception) -> DependencyFailed:
        retry_after = getattr(error, "retry_after", None)
        match _outcome(error):
            case "timeout":
                return DependencyFailed(f"{self.name} did not answer in time.", status=504)
            case "open" | "full":
                return DependencyFailed(
                    f"{self.name} cannot be called at the moment.", status=503, retry_after=retry_after
                )
            case "busy":
                return DependencyFailed(f"{self.name} is busy.", status=503, retry_after=retry_after)
        if isinstance(error, BadAnswer):
            status = 504 if error.status == 504 else 502
            return DependencyFailed(f"{self.name} answered {error.status}.", status=status, retry_after=retry_after)
        return DependencyFailed(f"The connection to {self.name} broke.", status=502)


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
        case httpx2.DecodingError() | httpx2.TooManyRedirects():
            return "bad_answer"
    return "broken"


def _tells_of_dependency(error: Exception) -> bool:
    """Whether the dependency is to blame: not for a caller in a hurry, nor a request that could not be sent."""
    if isinstance(error, deadline.DeadlineExceeded):
        return not error.of_request
    if isinstance(error, httpx2.PoolTimeout):
        return False  # the pool is shared: another dependency may have filled it
    return isinstance(error, (*_TIMEOUTS, *_BROKEN, *_UNREADABLE))


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, BadAnswer):
        return error.status in RETRIED_STATUSES
    return isinstance(error, (*_TIMEOUTS, *_BROKEN))


def _never(_error: BaseException) -> bool:
    return False
