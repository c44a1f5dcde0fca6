"""Who asks, by a signed token and nothing else: `Authorization: Bearer` with a JSON Web Token (RFC 7519), HS256."""

import time
from collections import OrderedDict
from dataclasses import dataclass

import jwt
from starlette.exceptions import HTTPException
from starlette.types import Scope

AUDIENCE = "shop"
LIFETIME = 3600


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified subject; `expires` is in seconds since the epoch, as the token has it."""

    subject: str
    expires: float


class Identities:
    """Issues tokens and verifies them, each once: what is known to be good is kept until it expires.

    `key` signs; with an empty one there are no tokens, so nobody has an identity. At most `keep` identities are kept.
    """

    def __init__(self, key: str, *, keep: int = 4096) -> None:
        self._key = key
        self._keep = keep
        self._known: OrderedDict[bytes, Identity] = OrderedDict()

    @property
    def enabled(self) -> bool:
        """Whether tokens can be issued and verified."""
        return bool(self._key)

    def issue(self, subject: str) -> str:
        """Return a token for `subject` that is good for `LIFETIME` seconds."""
        now = int(time.time())
        claims = {"sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def of(self, scope: Scope) -> Identity | None:
        """Return who made a request; None without a token, or with one that is not good."""
        if not self._key:
            return None
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                return self._of_token(value[7:].strip())
        return None

    def require(self, scope: Scope) -> Identity:
        """Return who made a request; HTTPException 401 when nobody is known to have."""
        identity = self.of(scope)
        if identity is None:
            raise HTTPException(401, "Send a valid token: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})
        return identity

    def _of_token(self, token: bytes) -> Identity | None:
        known = self._known.get(token)
        if known is None:
            known = self._verified(token)
            if known is None:
                return None
            self._known[token] = known
            if len(self._known) > self._keep:
                self._known.popitem(last=False)
        if known.expires <= time.time():
            self._known.pop(token, None)
            return None
        return known

    def _verified(self, token: bytes) -> Identity | None:
        try:
            claims = jwt.decode(
                token, self._key, algorithms=["HS256"], audience=AUDIENCE, options={"require": ["exp", "sub"]}
            )
        except jwt.InvalidTokenError:
            return None
        return Identity(subject=str(claims["sub"]), expires=float(claims["exp"]))
