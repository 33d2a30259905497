"""People: register, find, change, follow, leave; and their timeline."""

from json import loads
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from pamps.auth import Owner, Viewer, Visitor
from pamps.dependencies import Database, Passwords, Settings
from pamps.errors import (
    EmailTaken,
    LastAdmin,
    RecentSignInNeeded,
    SelfFollow,
    SessionNotFound,
    SignInNeeded,
    UsernameReserved,
    UsernameTaken,
    UserNotFound,
)
from pamps.mail.languages import Language
from pamps.middleware.limits import count_as
from pamps.models.post import PostResponse
from pamps.models.session import SessionResponse
from pamps.models.shape import NO_NUL
from pamps.models.user import AccountDeletion, MeResponse, PasswordChange, UserRequest, UserResponse, UserUpdate
from pamps.pagination import DatedPage, Page, next_link
from pamps.queries import follow as follows
from pamps.queries import mail as mails
from pamps.queries import session as sessions
from pamps.queries import timeline as timelines
from pamps.queries import user as users
from pamps.routes import json
from pamps.routes.parameters import IncludeReplies, SessionId, UserIdOrName, UsernameInPath
from pamps.routes.proof import UNPROVEN, not_ones_name, proven
from pamps.routing.documented import CREATED, raises
from pamps.routing.route import Route

router = APIRouter(prefix="/user", tags=["user"], route_class=Route)

Prefix = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=100,
        pattern=NO_NUL,
        description="How the username or the name begins; case and accents do not matter.",
    ),
]


@router.get("/", response_model=list[UserResponse])
async def everyone(request: Request, page: Page, viewer: Visitor, db: Database, q: Prefix = None) -> Response:
    """Everybody, or those whose username or name begins with `q`; newest first."""
    row = await (db.one(users.search, viewer, q=q, **page) if q else db.one(users.everyone, viewer, **page))
    return json(row, headers=next_link(request, row))


@router.post(
    "/",
    status_code=201,
    response_model=UserResponse,
    responses={**CREATED, **raises(UsernameTaken, UsernameReserved, EmailTaken)},
)
async def register(body: UserRequest, viewer: Visitor, db: Database, passwords: Passwords) -> Response:
    """Register a new account."""
    account = {**body.model_dump(exclude={"password"}), "role": "user"}
    row = await db.one(users.register, viewer, password_hash=await passwords.hash(body.password), **account)
    return json(row, 201, {"Location": f"/user/{body.username}/"})


@router.get("/timeline/", response_model=list[PostResponse])
async def timeline(
    request: Request,
    page: Page,
    viewer: Viewer,
    db: Database,
    include_replies: IncludeReplies = True,
) -> Response:
    """The posts of those I follow, newest first."""
    statement = timelines.timeline_with_replies if include_replies else timelines.timeline_without_replies
    row = await db.one(statement, viewer, **page)
    return json(row, headers=next_link(request, row))


@router.get("/me/", response_model=MeResponse)
async def me(viewer: Viewer, db: Database) -> Response:
    """My own profile."""
    return json(await db.one(users.me, viewer))


@router.patch(
    "/me/",
    response_model=MeResponse,
    responses=raises(SignInNeeded, RecentSignInNeeded, UsernameTaken, UsernameReserved, EmailTaken),
)
async def change(
    request: Request, body: UserUpdate, viewer: Viewer, db: Database, settings: Settings, language: Language
) -> Response:
    """Change my profile; what is not sent stays as it is. A personal token may not change the username or the email.

    Another email takes a sign-in of the last minutes. The old one is told of it; the new one is not verified. It counts
    as a sign-up, too: either way one learns whether there is an account with that email.
    """
    if viewer.proof is not None and body.model_fields_set & {"username", "email"}:
        raise SignInNeeded("a personal token can't change what one signs in with; sign in")
    if "email" in body.model_fields_set and loads((await db.one(mails.email, viewer))["body"])["email"] != body.email:
        count_as("sign_up", request.scope)
    changes = body.model_dump_json(exclude_unset=True)
    lately = settings.security.email_change_minutes * 60
    return json(await db.one(users.change, viewer, changes=changes, language=language, lately=lately))


@router.put("/me/password/", status_code=204, response_model=None, responses=raises(*UNPROVEN))
async def change_password(
    body: PasswordChange, viewer: Owner, db: Database, passwords: Passwords, settings: Settings, language: Language
) -> Response:
    """Change my password; every other session of mine ends, and my email is told of it."""
    me = await proven(body.current_password, viewer, db, passwords, settings)
    not_ones_name(body.new_password, me, "new_password")
    password_hash = await passwords.hash(body.new_password)
    hashes = {"seen": me["password_hash"], "password_hash": password_hash}
    await db.one(users.change_password, viewer, language=language, **hashes)
    return Response(status_code=204)


@router.delete("/me/", status_code=204, response_model=None, responses=raises(*UNPROVEN, LastAdmin))
async def leave(
    body: AccountDeletion, viewer: Owner, db: Database, passwords: Passwords, settings: Settings
) -> Response:
    """Delete my account and all that it wrote."""
    me = await proven(body.password, viewer, db, passwords, settings)
    await db.one(users.leave, viewer, seen=me["password_hash"])
    return Response(status_code=204)


@router.get("/me/sessions/", response_model=list[SessionResponse])
async def my_sessions(request: Request, page: Page, viewer: Owner, db: Database) -> Response:
    """Where I am signed in, newest first."""
    row = await db.one(sessions.mine, viewer, **page)
    return json(row, headers=next_link(request, row))


@router.delete("/me/sessions/{id}/", status_code=204, response_model=None, responses=raises(SessionNotFound))
async def end_session(id: SessionId, viewer: Owner, db: Database) -> Response:
    """Sign out of one of my sessions."""
    await db.one(sessions.end, viewer, id=id)
    return Response(status_code=204)


FOLLOW_STOOD: dict[int | str, dict[str, Any]] = {200: {"model": UserResponse, "description": "It was followed already"}}


@router.post(
    "/follow/{id}/",
    status_code=201,
    response_model=UserResponse,
    responses={**FOLLOW_STOOD, **raises(UserNotFound, SelfFollow)},
)
async def follow(id: UserIdOrName, viewer: Viewer, db: Database) -> Response:
    """Follow somebody."""
    row = await db.one(follows.follow, viewer, **whom(id))
    return json(row, 201 if row["created"] else 200)


@router.delete("/follow/{id}/", response_model=UserResponse, responses=raises(UserNotFound))
async def unfollow(id: UserIdOrName, viewer: Viewer, db: Database) -> Response:
    """No longer follow somebody."""
    return json(await db.one(follows.unfollow, viewer, **whom(id)))


def whom(id: str) -> dict[str, Any]:
    """The one to follow, as parameters: by id or by username."""
    return {"id": int(id), "username": None} if id.isdigit() else {"id": None, "username": id}


@router.get("/{username}/", response_model=UserResponse, responses=raises(UserNotFound))
async def profile(username: UsernameInPath, viewer: Visitor, db: Database) -> Response:
    """Somebody's profile."""
    return json(await db.one(users.find, viewer, username=username))


@router.get("/{username}/followers/", response_model=list[UserResponse], responses=raises(UserNotFound))
async def followers(
    request: Request, username: UsernameInPath, page: DatedPage, viewer: Visitor, db: Database
) -> Response:
    """Who follows somebody, newest first."""
    row = await db.one(follows.followers, viewer, username=username, **page)
    return json(row, headers=next_link(request, row))


@router.get("/{username}/following/", response_model=list[UserResponse], responses=raises(UserNotFound))
async def following(
    request: Request, username: UsernameInPath, page: DatedPage, viewer: Visitor, db: Database
) -> Response:
    """Whom somebody follows, newest first."""
    row = await db.one(follows.following, viewer, username=username, **page)
    return json(row, headers=next_link(request, row))
