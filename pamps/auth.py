"""From a bearer token to who asks: a claim, and its scopes checked, no database call.

The statement checks that the session lives, and that a personal token is the session's.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from pamps.config import Settings as AllSettings
from pamps.dependencies import Settings
from pamps.errors import InsufficientScope, NotSignedIn, SignInNeeded
from pamps.logs import USER
from pamps.tokens import Claim, read_token

bearer = OAuth2PasswordBearer(
    tokenUrl="/token",  # from the root: the page that it is resolved by may be /docs/
    refreshUrl="/refresh_token",
    auto_error=False,
    description="The access token that POST /token gives, which is for all scopes; or a personal token.",
    scopes={
        "read": "Read as its owner does.",
        "write": "Publish, edit, delete, like, follow, and change the profile.",
        "admin": "Moderate, as far as its owner's role lets them.",
    },
)
BearerToken = Annotated[str | None, Depends(bearer)]

READS = frozenset({"GET", "HEAD"})


def scope_of(method: str) -> str:
    """The scope that a request of a method takes, but for those that moderate."""
    return "read" if method in READS else "write"


async def visitor(request: Request, token: BearerToken, settings: Settings) -> Claim | None:
    """Whoever asks, or None where no token was sent. A bad token is 401 here too: its client should learn of it."""
    if token is None:
        return None
    return scoped(claim_of(request, token, settings), scope_of(request.method))


def claim_of(request: Request, token: str, settings: AllSettings) -> Claim:
    """What a token claims; the request's line in the log says who it was."""
    claim = read_token(token, settings.security)
    request.scope[USER] = claim.user_id
    return claim


def scoped(claim: Claim, scope: str) -> Claim:
    if scope not in claim.scopes:
        raise InsufficientScope(scope)
    return claim


Visitor = Annotated[Claim | None, Depends(visitor)]


async def viewer(claim: Visitor) -> Claim:
    """Whoever is signed in."""
    if claim is None:
        raise NotSignedIn()
    return claim


Viewer = Annotated[Claim, Depends(viewer)]


async def moderator(request: Request, token: BearerToken, settings: Settings) -> Claim:
    """Whoever is signed in to moderate; whether their role lets them is the statement's to check."""
    if token is None:
        raise NotSignedIn()
    return scoped(claim_of(request, token, settings), "admin")


Moderator = Annotated[Claim, Depends(moderator)]


async def owner(request: Request, token: BearerToken, settings: Settings) -> Claim:
    """Whoever has signed in: a personal token is not let near the account itself, whatever its scopes."""
    if token is None:
        raise NotSignedIn()
    claim = claim_of(request, token, settings)
    if claim.proof is not None:
        raise SignInNeeded()
    return claim


Owner = Annotated[Claim, Depends(owner)]
