"""Posts, replies and likes."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError

from pamps.auth import Viewer, Visitor
from pamps.dependencies import Database, Settings
from pamps.errors import NotTheAuthor, ParentNotFound, PostNotFound, UserNotFound
from pamps.models.post import PostRequest, PostResponse, PostResponseWithReplies, PostUpdate, ThreadResponse
from pamps.models.user import UserSummary
from pamps.pagination import DatedPage, Page, next_link
from pamps.queries import like as likes
from pamps.queries import post as posts
from pamps.queries import thread as threads
from pamps.routes import json
from pamps.routes.parameters import IncludeReplies, PostId, UsernameInPath
from pamps.routing.documented import CREATED, raises
from pamps.routing.route import Route

router = APIRouter(prefix="/post", tags=["post"], route_class=Route)


def bound(text: str, limit: int) -> None:
    """Refuse a text of more than `post.max_length` characters; openapi.py documents the same bound."""
    if len(text) > limit:
        message = f"String should have at most {limit} characters"
        raise RequestValidationError([{"loc": ("body", "text"), "msg": message, "type": "string_too_long"}])


@router.get("/", response_model=list[PostResponse])
async def home(request: Request, page: Page, viewer: Visitor, db: Database) -> Response:
    """Everybody's posts, newest first, without replies."""
    row = await db.one(posts.home, viewer, **page)
    return json(row, headers=next_link(request, row))


@router.post("/", status_code=201, response_model=PostResponse, responses={**CREATED, **raises(ParentNotFound)})
async def publish(body: PostRequest, viewer: Viewer, db: Database, settings: Settings) -> Response:
    """Publish a post, or a reply to the post that `parent_id` names."""
    bound(body.text, settings.post.max_length)
    row = await db.one(posts.publish, viewer, text=body.text, parent_id=body.parent_id)
    return json(row, 201, {"Location": f"/post/{row['id']}/"})


@router.get("/user/{username}/", response_model=list[PostResponse], responses=raises(UserNotFound))
async def by_user(
    request: Request,
    username: UsernameInPath,
    page: Page,
    viewer: Visitor,
    db: Database,
    include_replies: IncludeReplies = False,
) -> Response:
    """What one person wrote, newest first."""
    statement = posts.by_user_with_replies if include_replies else posts.by_user_without_replies
    row = await db.one(statement, viewer, username=username, **page)
    return json(row, headers=next_link(request, row))


@router.get("/likes/{username}/", response_model=list[PostResponse], responses=raises(UserNotFound))
async def liked_posts(
    request: Request, username: UsernameInPath, page: DatedPage, viewer: Visitor, db: Database
) -> Response:
    """The posts that one person likes, newest like first."""
    row = await db.one(likes.liked_posts, viewer, username=username, **page)
    return json(row, headers=next_link(request, row))


@router.get("/{id}/", response_model=PostResponseWithReplies, responses=raises(PostNotFound))
async def read(id: PostId, viewer: Visitor, db: Database) -> Response:
    """A post and the first page of its replies."""
    return json(await db.one(posts.read, viewer, id=id))


@router.get("/{id}/replies/", response_model=list[PostResponse], responses=raises(PostNotFound))
async def replies(request: Request, id: PostId, page: Page, viewer: Visitor, db: Database) -> Response:
    """The direct replies to a post, oldest first."""
    row = await db.one(posts.replies, viewer, id=id, **page)
    return json(row, headers=next_link(request, row))


@router.get("/{id}/thread/", response_model=ThreadResponse, responses=raises(PostNotFound))
async def thread(id: PostId, viewer: Visitor, db: Database) -> Response:
    """A post in its thread: what it replies to from the root down, and what was replied to it, depth-first."""
    return json(await db.one(threads.thread, viewer, id=id))


@router.patch("/{id}/", response_model=PostResponse, responses=raises(PostNotFound, NotTheAuthor))
async def edit(id: PostId, body: PostUpdate, viewer: Viewer, db: Database, settings: Settings) -> Response:
    """Change the text of a post of mine."""
    bound(body.text, settings.post.max_length)
    return json(await db.one(posts.edit, viewer, id=id, text=body.text))


@router.delete("/{id}/", status_code=204, response_model=None, responses=raises(PostNotFound, NotTheAuthor))
async def delete(id: PostId, viewer: Viewer, db: Database) -> Response:
    """Delete a post of mine. If it has replies, an empty tombstone holds its place in the thread."""
    await db.one(posts.delete, viewer, id=id)
    return Response(status_code=204)


LIKE_STOOD: dict[int | str, dict[str, Any]] = {200: {"model": PostResponse, "description": "It was liked already"}}


@router.post(
    "/{id}/like/", status_code=201, response_model=PostResponse, responses={**LIKE_STOOD, **raises(PostNotFound)}
)
async def like(id: PostId, viewer: Viewer, db: Database) -> Response:
    """Like a post."""
    row = await db.one(likes.like, viewer, id=id)
    return json(row, 201 if row["created"] else 200)


@router.delete("/{id}/like/", response_model=PostResponse, responses=raises(PostNotFound))
async def unlike(id: PostId, viewer: Viewer, db: Database) -> Response:
    """Take a like back."""
    return json(await db.one(likes.unlike, viewer, id=id))


@router.get("/{id}/likes/", response_model=list[UserSummary], responses=raises(PostNotFound))
async def liked_by(request: Request, id: PostId, page: DatedPage, viewer: Visitor, db: Database) -> Response:
    """Who likes a post, newest first."""
    row = await db.one(likes.liked_by, viewer, id=id, **page)
    return json(row, headers=next_link(request, row))
