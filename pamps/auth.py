"""From a bearer token to who asks: a verified claim, no database call. The statement checks that the session lives."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer

from pamps.db import Viewer as Claimed
from pamps.dependencies import Settings
from pamps.errors import NotSignedIn
from pamps.security import read_access_token

bearer = OAuth2PasswordBearer(
    tokenUrl="token",
    refreshUrl="refresh_token",
    auto_error=False,
    description="The access token that POST /token gives.",
)
BearerToken = Annotated[str | None, Depends(bearer)]


async def visitor(token: BearerToken, settings: Settings) -> Claimed | None:
    """Whoever asks, or None where no token was sent. A bad token is 401 here too: its client should learn of it."""
    if token is None:
        return None
    return Claimed(*read_access_token(token, settings.security))


async def viewer(claimed: Annotated[Claimed | None, Depends(visitor)]) -> Claimed:
    """Whoever is signed in."""
    if claimed is None:
        raise NotSignedIn()
    return claimed


Visitor = Annotated[Claimed | None, Depends(visitor)]
Viewer = Annotated[Claimed, Depends(viewer)]
