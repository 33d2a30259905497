"""Rate limits: how often somebody may do what, by the kind of it, and headers that say what is left."""

from functools import lru_cache

from limits import parse
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps import config, errors
from pamps.addresses import counted_address
from pamps.middleware.problems import problem
from pamps.middleware.tallies import Tally
from pamps.security import read_token

# What tells others that the service is well is never refused.
FREE = frozenset({"/livez", "/readyz", "/metrics"})
# A link that was mailed leads to an account, and may be guessed at, just as a password.
LINKS = frozenset({"/password_reset", "/password_reset/confirm", "/email_verification"})
SIGNING_IN = frozenset({"/token", "/refresh_token"}) | LINKS
BY_ADDRESS = frozenset({"sign_up", "sign_in"})
counted = lru_cache(maxsize=4096)(counted_address)


class Limits:
    """ASGI middleware: refuses what is too much with 429, and says on every answer what is left.

    The headers are those of draft-ietf-httpapi-ratelimit-headers, as of its 10th edition.
    """

    def __init__(self, app: ASGIApp, tallies: dict[str, Tally]):
        self.app = app
        self.tallies = tallies
        self.policies = {name: policy(name, tally) for name, tally in tallies.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of(scope) if scope["type"] == "http" else None
        tally = self.tallies.get(kind) if kind else None
        if kind is None or tally is None:
            await self.app(scope, receive, send)
            return
        left, seconds = tally.take(who(scope, kind))
        name, advertised = self.policies[kind]
        standing = (b"ratelimit", b"%b;r=%d;t=%d" % (name, max(left, 0), seconds))

        async def with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], advertised, standing]}
            await send(message)

        if left >= 0:
            await self.app(scope, receive, with_standing)
        else:
            await problem(errors.TooManyRequests(seconds))(scope, receive, with_standing)


def policy(name: str, tally: Tally) -> tuple[bytes, tuple[bytes, bytes]]:
    """The name of a limit as a String of structured fields (RFC 9651), and the header that describes it."""
    quoted = b'"%b"' % name.encode().replace(b"_", b"-")
    return quoted, (b"ratelimit-policy", b"%b;q=%d;w=%d" % (quoted, tally.amount, tally.seconds))


def kind_of(scope: Scope) -> str | None:
    """What kind of work a request asks for; None for what is not limited."""
    path, method = scope["path"].rstrip("/"), scope["method"]
    if method in ("GET", "HEAD"):
        if path in FREE:
            return None
        return "search" if path == "/user" and b"q=" in scope["query_string"] else "read"
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
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        claim = read_token(token, state.settings.security)
    except errors.InvalidToken:
        return None
    vouched = state.database.vouched.get(claim[:3])
    return claim.user_id if vouched or (vouched is None and claim.proof is None) else None


def tallies(settings: config.Limits) -> dict[str, Tally]:
    """A tally for each kind of work that is limited."""
    rates = settings.model_dump(exclude={"shared"})
    return {kind: Tally(parse(rate), settings.shared) for kind, rate in rates.items() if rate}
