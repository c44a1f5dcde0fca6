"""Rate limits for every request, as middleware, and for single routes, as a dependency.

    app.add_exception_handler(Refusal, answer_refusal)
    app.add_middleware(RateLimitMiddleware, limiter=RateLimiter(redis), choose=choose)

    @app.post("/api/checkout", dependencies=[Depends(limit(Policy("checkout", 10, 60)))])

`choose` says for a scope which policy applies and whose request it is, or None for what is not limited at all.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from math import ceil

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .answers import STARTS, with_headers
from .errors import Refusal, answer_refusal, refusal_response
from .limiter import RateLimiter
from .sliding_window import Decision, MemoryLimiter, Policy

__all__ = [
    "Decision",
    "MemoryLimiter",
    "Policy",
    "RateLimitMiddleware",
    "RateLimited",
    "RateLimiter",
    "RequestLimits",
    "client_key",
    "limit",
]

_STATE = "rate_limit"


class RateLimited(Refusal):
    """The limit is reached; `decision` says which one and for how long."""

    status = 429
    kind = "rate-limited"

    def __init__(self, decision: Decision) -> None:
        policy = decision.policy
        super().__init__(
            f"Too many requests: the limit is {policy.limit} in {policy.window:g} seconds.",
            retry_after=decision.retry_after,
        )
        self.decision = decision


class RequestLimits:
    """The limits that one request counts against: `request.state.rate_limit`."""

    __slots__ = ("decisions", "key", "limiter")

    def __init__(self, limiter: RateLimiter, key: str) -> None:
        self.limiter = limiter
        self.key = key
        self.decisions: tuple[Decision, ...] = ()

    async def count(self, policy: Policy) -> None:
        """Count the request against a further policy. RateLimited when that one's limit is reached."""
        decision = self.limiter.hit_here(policy, self.key) or await self.limiter.hit(policy, self.key)
        self.decisions += (decision,)
        if not decision.allowed:
            raise RateLimited(decision)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """All limits as in draft-ietf-httpapi-ratelimit-headers-11, and the tightest as `X-RateLimit-*`."""
        if not self.decisions:
            return []
        tightest = self.decisions[0]
        policies, limits = tightest.policy.header, _budget(tightest)
        for decision in self.decisions[1:]:
            policies += b", " + decision.policy.header
            limits += b", " + _budget(decision)
            if decision.remaining <= tightest.remaining:
                tightest = decision
        return [
            (b"ratelimit-policy", policies),
            (b"ratelimit", limits),
            (b"x-ratelimit-limit", tightest.policy.quota),
            (b"x-ratelimit-remaining", b"%d" % tightest.remaining),
        ]


def _budget(decision: Decision) -> bytes:
    """A decision as an item of `RateLimit`. A permit may come back a slot late, but no client has to know of slots."""
    seconds = ceil(min(decision.reset, decision.policy.window))
    return b"%b;r=%d;t=%d" % (decision.policy.quoted_name, decision.remaining, seconds)


class RateLimitMiddleware:
    """Counts each request and WebSocket handshake that `choose` finds a policy and a key for.

    Refused ones get 429 with `Retry-After` (503 while the limiter is closed); all that were counted get the headers.
    A WebSocket is refused before it is accepted: by the same answer, or by a close with 1008 where the server cannot
    send one.
    """

    def __init__(
        self, app: ASGIApp, *, limiter: RateLimiter, choose: Callable[[Scope], tuple[Policy, str] | None]
    ) -> None:
        self.app = app
        self._limiter = limiter
        self._choose = choose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, then refuse it or run the application."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        chosen = self._choose(scope)
        if chosen is None:
            state[_STATE] = None
            await self.app(scope, receive, send)
            return
        policy, key = chosen
        limits = state[_STATE] = RequestLimits(self._limiter, key)

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] in STARTS:
                message = with_headers(message, limits.headers())
            return send(message)

        try:
            await limits.count(policy)
        except Refusal as refusal:
            await _refuse(refusal, scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await answer_refusal(WebSocket(scope, receive, send), refusal)
        return
    await refusal_response(refusal)(scope, receive, send)


def limit(policy: Policy) -> Callable[[HTTPConnection], Awaitable[None]]:
    """A FastAPI dependency that counts the route's requests against a policy of its own, besides the middleware's.

    It counts for the key that the middleware chose, and not at all what the middleware was told to let pass. Raises
    RateLimited, which the handler `answer_refusal` answers; RuntimeError when there is no RateLimitMiddleware.
    """

    async def count(connection: HTTPConnection) -> None:
        try:
            limits: RequestLimits | None = connection.scope["state"][_STATE]
        except KeyError:
            raise RuntimeError(f"limit({policy.name!r}) needs RateLimitMiddleware around the application") from None
        if limits is not None:
            await limits.count(policy)

    return count


def client_key(scope: Scope) -> str:
    """The client's address as the server gives it; of an IPv6 address its /64, all of which one client owns.

    Behind a proxy that is the proxy's, unless the server is told to trust what that one says (`forwarded_allow_ips`).
    """
    client = scope.get("client")
    if client is None:
        return "unknown"
    host: str = client[0]
    return _network(host) if ":" in host else host


@lru_cache(maxsize=4096)
def _network(host: str) -> str:
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
