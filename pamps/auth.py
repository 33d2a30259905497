"""From a bearer token to who asks: a verified claim, no database call. The statement checks that the session lives."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer

from pamps.dependencies import Settings
from pamps.errors import NotSignedIn
from pamps.security import Claim, read_access_token

bearer = OAuth2PasswordBearer(
    tokenUrl="token",
    refreshUrl="refresh_token",
    auto_error=False,
    description="The access token that POST /token gives.",
)
BearerToken = Annotated[str | None, Depends(bearer)]


async def visitor(token: BearerToken, settings: Settings) -> Claim | None:
    """Whoever asks, or None where no token was sent. A bad token is 401 here too: its client should learn of it."""
    return None if token is None else read_access_token(token, settings.security)


Visitor = Annotated[Claim | None, Depends(visitor)]


async def viewer(claim: Visitor) -> Claim:
    """Whoever is signed in."""
    if claim is None:
        raise NotSignedIn()
    return claim


Viewer = Annotated[Claim, Depends(viewer)]
