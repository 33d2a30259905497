"""Personal tokens, for programs that act for their owner: making, listing and ending them takes a sign-in."""

import json

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from pamps.auth import Owner
from pamps.dependencies import Database
from pamps.errors import TokenNameTaken, TokenNotFound, TooManyTokens
from pamps.models.token import PersonalTokenMade, PersonalTokenRequest, PersonalTokenResponse
from pamps.pagination import Page, next_link
from pamps.queries import token as tokens
from pamps.routes import NO_STORE
from pamps.routes import json as answer
from pamps.routes.parameters import TokenId
from pamps.routing.documented import raises
from pamps.routing.route import Route
from pamps.tokens import new_personal_token

router = APIRouter(prefix="/user/me/tokens", tags=["auth"], route_class=Route)


@router.get("/", response_model=list[PersonalTokenResponse])
async def my_tokens(request: Request, page: Page, viewer: Owner, db: Database) -> Response:
    """My personal tokens, newest first; those that have expired are gone."""
    row = await db.one(tokens.mine, viewer, **page)
    return answer(row, headers=next_link(request, row))


@router.post("/", status_code=201, response_model=PersonalTokenMade, responses=raises(TokenNameTaken, TooManyTokens))
async def make_token(body: PersonalTokenRequest, viewer: Owner, db: Database) -> Response:
    """Make a personal token, one of 100 at most. Its text is shown this once: what is kept is a hash."""
    token = new_personal_token(body.scopes)
    row = await db.one(
        tokens.make,
        viewer,
        token_hash=token.token_hash,
        name=body.name,
        scopes=token.scopes,
        days=body.expires_in_days,
    )
    made = {**json.loads(row["body"]), "token": token.text(viewer.user_id, row["id"])}
    return JSONResponse(made, 201, NO_STORE)


@router.delete("/{id}/", status_code=204, response_model=None, responses=raises(TokenNotFound))
async def end_token(id: TokenId, viewer: Owner, db: Database) -> Response:
    """End one of my personal tokens."""
    await db.one(tokens.end, viewer, id=id)
    return Response(status_code=204)
