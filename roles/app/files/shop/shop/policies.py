"""Who may ask how often: by a verified identity, else by the client's address; and what is never counted."""

from starlette.types import Scope
from upkeeper.rate_limit import Policy, client_key

from shop.identity import Identities
from shop.settings import Settings

# Probes, what the page is made of and follows, and the simulator's controls: they work for whoever has nothing left.
EXEMPT_PATHS = frozenset(
    {"/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/api/events", "/api/status"}
)
EXEMPT_FOLDERS = ("/static/", "/api/simulator/")


class Policies:
    """The limits of the settings."""

    def __init__(self, settings: Settings, identities: Identities) -> None:
        window = settings.rate_limit_window
        self.anonymous = Policy("anonymous", settings.rate_limit_anonymous, window)
        self.member = Policy("member", settings.rate_limit_member, window)
        self.checkout = Policy("checkout", settings.rate_limit_checkout, window)
        self._identities = identities

    def choose(self, scope: Scope) -> tuple[Policy, str] | None:
        """Return the policy for a request and whom it is counted for; None when it is not counted."""
        path = scope["path"]
        if path in EXEMPT_PATHS or path.startswith(EXEMPT_FOLDERS):
            return None
        return self.of_client(scope)

    def caller(self, scope: Scope) -> str:
        """Return the key of whoever asks."""
        return self.of_client(scope)[1]

    def of_client(self, scope: Scope) -> tuple[Policy, str]:
        """Return the policy of whoever asks, and their key."""
        identity = self._identities.of(scope)
        if identity is None:
            return self.anonymous, client_key(scope)
        return self.member, "member:" + identity.subject
