"""Rate limits: how often somebody may do what, by the kind of it, and headers that say what is left."""

from functools import lru_cache
from math import ceil, floor

from fastapi.security.utils import get_authorization_scheme_param
from limits import RateLimitItem, parse
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import QueryParams, State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps import config, errors
from pamps.addresses import counted_address
from pamps.middleware.counts import Counts
from pamps.middleware.problems import problem
from pamps.tokens import read_token

# What tells others that the service is well is never refused.
FREE = frozenset({"/livez", "/readyz", "/metrics"})
# A link that was mailed leads to an account, and may be guessed at, just as a password.
LINKS = frozenset({"/password_reset", "/password_reset/confirm", "/email_verification"})
SIGNING_IN = frozenset({"/token", "/refresh_token"}) | LINKS
BY_ADDRESS = frozenset({"sign_up", "sign_in"})
ROUNDED = 1e-6  # seconds: more than what the library's times are short of, as quotients of the time since the epoch
counted = lru_cache(maxsize=4096)(counted_address)


class Limit:
    """How often anybody may do one kind of thing, as the library counts that by its sliding window: what has come in
    this window of time, and of what came in the one before it the part that a window ending now would still cover.
    """

    def __init__(self, kind: str, rate: RateLimitItem, shared: bool):
        self.kind = kind
        self.rate = rate
        self.amount = rate.amount
        self.seconds = rate.get_expiry()
        self.counts = Counts(self.seconds, shared)
        self.limiter = SlidingWindowCounterRateLimiter(self.counts)
        # As a String of structured fields (RFC 9651), and the header that describes it.
        self.name = b'"%b"' % kind.encode().replace(b"_", b"-")
        self.policy = (b"ratelimit-policy", b"%b;q=%d;w=%d" % (self.name, self.amount, self.seconds))

    def take(self, who: str) -> tuple[int, int]:
        """Count one, unless it is too many: how many are left, -1 for one that is refused, and for how many seconds.

        After as many seconds, one that was refused would not be.
        """
        admitted = self.limiter.hit(self.rate, self.kind, who)
        window = self.counts.get_sliding_window(self.rate.key_for(self.kind, who), self.seconds)
        previous, previous_left, current, current_left = window
        if not admitted:
            return -1, int(self.wait(previous, current, current_left) + ROUNDED) + 1
        used = floor(previous * previous_left / self.seconds + current)
        return max(self.amount - used, 0), ceil(current_left - self.seconds)

    def wait(self, previous: int, current: int, left: float) -> float:
        """How long it takes until as much of what was counted is past that one more is not too many.

        `left` is how long what came in this window counts: until the end of the next one.
        """
        if current < self.amount:
            free, counted, left = self.amount - current, previous, left - self.seconds
        else:
            free, counted = self.amount, current
        # Nothing at all is counted if the clock was set since the library refused.
        return max(left - free * self.seconds / max(counted, 1), 0)


class Limits:
    """ASGI middleware: refuses what is too much with 429, and says on every answer what is left.

    The headers are those of draft-ietf-httpapi-ratelimit-headers, as of its 10th edition.
    """

    def __init__(self, app: ASGIApp, limits: dict[str, Limit]):
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of(scope) if scope["type"] == "http" else None
        limit = self.limits.get(kind) if kind else None
        if kind is None or limit is None:
            await self.app(scope, receive, send)
            return
        left, seconds = limit.take(who(scope, kind))
        standing = (b"ratelimit", b"%b;r=%d;t=%d" % (limit.name, max(left, 0), seconds))

        async def with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], limit.policy, standing]}
            await send(message)

        if left >= 0:
            await self.app(scope, receive, with_standing)
        else:
            await problem(errors.TooManyRequests(seconds))(scope, receive, with_standing)


def count_as(kind: str, scope: Scope) -> None:
    """Count a request for another kind of work too, which it turned out to be. Raises TooManyRequests."""
    if limit := scope["app"].state.limits.get(kind):
        left, seconds = limit.take(who(scope, kind))
        if left < 0:
            raise errors.TooManyRequests(seconds)


def kind_of(scope: Scope) -> str | None:
    """What kind of work a request asks for; None for what is not limited."""
    path, method = scope["path"].rstrip("/"), scope["method"]
    if method in ("GET", "HEAD"):
        if path in FREE:
            return None
        return "search" if path == "/user" and "q" in QueryParams(scope["query_string"]) else "read"
    if method == "POST":
        if path in SIGNING_IN:
            return "sign_in"
        if path == "/user":
            return "sign_up"
    return "write"


def who(scope: Scope, kind: str) -> str:
    """Whom a request counts for: the user of a token that is ours, or else the address that it comes from.

    What anybody could have made up counts for its address, so nobody gets another count by another token, and nobody
    uses up another one's. Of an access token its signature tells, of a personal one what the database said before.
    """
    if kind not in BY_ADDRESS:
        for name, value in scope["headers"]:
            if name == b"authorization":
                if user := verified_user(value.decode("latin-1"), scope["app"].state):
                    return f"user {user}"
                break
    client = scope.get("client")
    return (counted(client[0]) if client else None) or "somebody"


def verified_user(authorization: str, state: State) -> int | None:
    """The id of a user whose token this certainly is."""
    scheme, token = get_authorization_scheme_param(authorization)
    if scheme.lower() != "bearer":
        return None
    try:
        claim = read_token(token, state.settings.security)
    except errors.InvalidToken:
        return None
    vouched = state.database.vouched.get(claim[:3])
    return claim.user_id if vouched or (vouched is None and claim.proof is None) else None


def by_kind(settings: config.Limits) -> dict[str, Limit]:
    """The limit of each kind of work that has one."""
    rates = settings.model_dump(exclude={"shared"})
    return {kind: Limit(kind, parse(rate), settings.shared) for kind, rate in rates.items() if rate}
