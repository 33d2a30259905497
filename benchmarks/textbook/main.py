"""The routes."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, status
from fastapi.security import OAuth2PasswordRequestForm
from sqlmodel import Session, col, func, select

from benchmarks.textbook.database import SessionDep
from benchmarks.textbook.models import (
    Like,
    Post,
    PostCreate,
    PostPublic,
    PostPublicWithReplies,
    Social,
    Token,
    User,
    UserPublic,
)
from benchmarks.textbook.security import CurrentUser, create_access_token, verify_password

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

Offset = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=100)]


def get_post_or_404(session: Session, post_id: int) -> Post:
    post = session.get(Post, post_id)
    if post is None or post.user_id is None:
        raise HTTPException(status_code=404, detail="Post not found")
    return post


def get_user_or_404(session: Session, username: str) -> User:
    user = session.exec(select(User).where(func.lower(User.username) == username.lower())).first()
    if user is None:
        raise HTTPException(status_code=404, detail="User not found")
    return user


def with_likes(posts: Sequence[Post], user: User, session: Session) -> list[PostPublic]:
    """Posts as one user sees them: whether they like them is one query for all."""
    ids = [post.id for post in posts]
    liked = set(session.exec(select(Like.post_id).where(Like.user_id == user.id, col(Like.post_id).in_(ids))))
    return [PostPublic.model_validate(post, update={"liked": post.id in liked}) for post in posts]


@app.get("/post/", response_model=list[PostPublic])
def read_posts(session: SessionDep, offset: Offset = 0, limit: Limit = 20) -> Any:
    statement = select(Post).where(col(Post.parent_id).is_(None), col(Post.user_id).is_not(None))
    return session.exec(statement.order_by(col(Post.id).desc()).offset(offset).limit(limit)).all()


@app.get("/user/timeline/", response_model=list[PostPublic])
def read_timeline(session: SessionDep, user: CurrentUser, offset: Offset = 0, limit: Limit = 20) -> Any:
    followed = select(Social.followed_id).where(Social.follower_id == user.id)
    statement = select(Post).where(col(Post.user_id).in_(followed))
    posts = session.exec(statement.order_by(col(Post.id).desc()).offset(offset).limit(limit)).all()
    return with_likes(posts, user, session)


@app.get("/post/user/{username}/", response_model=list[PostPublic])
def read_user_posts(username: str, session: SessionDep, offset: Offset = 0, limit: Limit = 20) -> Any:
    author = get_user_or_404(session, username)
    statement = select(Post).where(Post.user_id == author.id, col(Post.parent_id).is_(None))
    return session.exec(statement.order_by(col(Post.id).desc()).offset(offset).limit(limit)).all()


@app.get("/post/{post_id}/", response_model=PostPublicWithReplies)
def read_post(post_id: int, session: SessionDep) -> Any:
    post = get_post_or_404(session, post_id)
    statement = select(Post).where(Post.parent_id == post_id, col(Post.user_id).is_not(None))
    replies = session.exec(statement.order_by(col(Post.id)).limit(20)).all()
    return PostPublicWithReplies.model_validate(post, update={"replies": replies})


@app.post("/post/", response_model=PostPublic, status_code=status.HTTP_201_CREATED)
def create_post(post: PostCreate, session: SessionDep, user: CurrentUser) -> Any:
    if post.parent_id is not None:
        get_post_or_404(session, post.parent_id)
    db_post = Post.model_validate(post, update={"user_id": user.id})
    session.add(db_post)
    session.commit()
    session.refresh(db_post)
    return PostPublic.model_validate(db_post, update={"liked": False})


@app.post("/post/{post_id}/like/", response_model=PostPublic, status_code=status.HTTP_201_CREATED)
def like_post(post_id: int, session: SessionDep, user: CurrentUser) -> Any:
    post = get_post_or_404(session, post_id)
    if session.get(Like, (user.id, post_id)) is None:
        session.add(Like(user_id=user.id, post_id=post_id))  # type: ignore[arg-type]  # it has one: it was loaded
        session.commit()
        session.refresh(post)
    return PostPublic.model_validate(post, update={"liked": True})


@app.delete("/post/{post_id}/like/", response_model=PostPublic)
def unlike_post(post_id: int, session: SessionDep, user: CurrentUser) -> Any:
    post = get_post_or_404(session, post_id)
    like = session.get(Like, (user.id, post_id))
    if like is not None:
        session.delete(like)
        session.commit()
        session.refresh(post)
    return PostPublic.model_validate(post, update={"liked": False})


@app.post("/token", response_model=Token)
def login(form_data: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep) -> Any:
    user = session.exec(select(User).where(func.lower(User.username) == form_data.username.lower())).first()
    if user is None or not verify_password(form_data.password, user.password_hash):
        raise HTTPException(
            status_code=status.HTTP_401_UNAUTHORIZED,
            detail="Incorrect username or password",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Token(access_token=create_access_token(user))


@app.get("/user/{username}/", response_model=UserPublic)
def read_user(username: str, session: SessionDep) -> Any:
    return get_user_or_404(session, username)
