"""Moderation, for moderators and admins: how accounts stand, suspension, roles, and posts that have to go."""

from fastapi import APIRouter, Response

from pamps.auth import Moderator
from pamps.dependencies import Database
from pamps.errors import LastAdmin, NotAllowed, PostNotFound, UserNotFound
from pamps.models.moderation import RoleRequest, StandingResponse, SuspensionRequest
from pamps.queries import moderation
from pamps.routes import json
from pamps.routes.parameters import PostId, UsernameInPath
from pamps.routing.documented import raises
from pamps.routing.route import Route

router = APIRouter(tags=["moderation"], route_class=Route)

REFUSED = raises(NotAllowed, UserNotFound)
REFUSED_OF_ADMINS = raises(NotAllowed, UserNotFound, LastAdmin)


@router.get("/user/{username}/standing/", response_model=StandingResponse, responses=REFUSED)
async def standing(username: UsernameInPath, viewer: Moderator, db: Database) -> Response:
    """How an account stands, be it suspended or not."""
    return json(await db.one(moderation.standing, viewer, username=username))


@router.put("/user/{username}/suspension/", response_model=StandingResponse, responses=REFUSED_OF_ADMINS)
async def suspend(username: UsernameInPath, body: SuspensionRequest, viewer: Moderator, db: Database) -> Response:
    """Suspend an account: it is signed out everywhere, and nobody sees it or what it wrote."""
    return json(await db.one(moderation.suspend, viewer, username=username, reason=body.reason))


@router.delete("/user/{username}/suspension/", response_model=StandingResponse, responses=REFUSED)
async def let_back(username: UsernameInPath, viewer: Moderator, db: Database) -> Response:
    """Let a suspended account back: it and what it wrote are seen again."""
    return json(await db.one(moderation.let_back, viewer, username=username))


@router.put("/user/{username}/role/", response_model=StandingResponse, responses=REFUSED_OF_ADMINS)
async def give_role(username: UsernameInPath, body: RoleRequest, viewer: Moderator, db: Database) -> Response:
    """Give somebody a role, as an admin."""
    return json(await db.one(moderation.give_role, viewer, username=username, role=body.role))


@router.delete(
    "/post/{id}/by-moderator/", status_code=204, response_model=None, responses=raises(NotAllowed, PostNotFound)
)
async def delete_post(id: PostId, viewer: Moderator, db: Database) -> Response:
    """Delete somebody's post. If it has replies, an empty tombstone holds its place in the thread."""
    await db.one(moderation.delete_post, viewer, id=id)
    return Response(status_code=204)
