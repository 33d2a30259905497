"""The tables and their relationships, and the shapes that are built from them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg2
import pytest
from sqlalchemy import (
    CheckConstraint,
    Engine,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Table,
    Text,
    inspect,
    literal_column,
    null,
    text,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import selectinload
from sqlmodel import Session as SqlSession
from sqlmodel import SQLModel, col, select

from pamps.db.meanings import CONSTRAINTS
from pamps.models import Like, Post, Session, Social, User
from pamps.models.user import UserSummary
from pamps.queries.sql import shaped
from tests.factories import World

TABLES = SQLModel.metadata.tables
MODELS = (User, Post, Like, Social, Session)
RELATIONSHIPS = [(model, relationship.key) for model in MODELS for relationship in inspect(model).relationships]


@pytest.fixture
def sql(engine: Engine) -> Iterator[SqlSession]:
    with SqlSession(engine) as session:
        yield session


@pytest.fixture
def ada(world: World) -> User:
    """Ada wrote a post that Bob replied to and liked; they follow each other, and Ada is signed in."""
    ada, bob = world.user("ada"), world.user("bob")
    post = world.post(by=ada, text="Hello?")
    world.post(by=bob, text="Hello!", parent=post)
    world.like(bob, post)
    world.follow(ada, bob)
    world.follow(bob, ada)
    world.sign_in(ada)
    return ada


def test_a_person_leads_to_all_that_is_theirs(sql: SqlSession, ada: User) -> None:
    followed = selectinload(User.following).selectinload(Social.followed)  # type: ignore[arg-type]
    followers = selectinload(User.followers).selectinload(Social.follower)  # type: ignore[arg-type]
    more = (selectinload(getattr(User, name)) for name in ("posts", "likes", "sessions"))
    found = sql.exec(select(User).order_by(col(User.id)).options(followed, followers, *more)).all()
    a, b = found
    assert [post.text for post in a.posts] == ["Hello?"]
    assert (a.likes, [like.post_id for like in b.likes]) == ([], [1])
    assert [social.followed.username for social in a.following] == ["bob"]
    assert [social.follower.username for social in a.followers] == ["bob"]
    assert ([session.user_id for session in a.sessions], b.sessions) == ([ada.id], [])


def test_a_post_leads_to_its_author_parent_replies_and_likes(sql: SqlSession, ada: User) -> None:
    options = [selectinload(getattr(Post, name)) for name in ("user", "parent", "replies")]
    options.append(selectinload(Post.likes).selectinload(Like.user))  # type: ignore[arg-type]
    post, reply = sql.exec(select(Post).order_by(col(Post.id)).options(*options)).all()
    assert (post.user, post.parent, post.replies) == (sql.get(User, ada.id), None, [reply])
    assert (reply.parent, reply.replies, reply.likes) == (post, [], [])
    assert [like.user.username for like in post.likes] == ["bob"]


@pytest.mark.parametrize(("model", "name"), RELATIONSHIPS)
def test_nothing_is_loaded_by_surprise(sql: SqlSession, ada: User, model: type[SQLModel], name: str) -> None:
    """The latest row of each table leads to others, and nothing but that row is known."""
    newest = [key.desc() for key in inspect(model).primary_key]
    row = sql.exec(select(model).order_by(*newest).limit(1)).one()
    with pytest.raises(InvalidRequestError, match=f"{name}' is not available due to lazy='raise_on_sql'"):
        getattr(row, name)


def test_what_the_database_sets_is_there_after_a_commit(sql: SqlSession, ada: User) -> None:
    post = Post(user_id=ada.id, text="Hello again!")
    sql.add(post)
    sql.commit()
    sql.refresh(post)
    assert (post.id, post.like_count, post.reply_count, post.edited_at) == (3, 0, 0, None)
    assert post.date.tzinfo == UTC
    assert abs(datetime.now(UTC) - post.date) < timedelta(minutes=1)


def test_the_database_knows_who_goes_with_whom(sql: SqlSession, ada: User) -> None:
    """Deleting a user in the shell leaves it to the foreign keys, which know about tombstones."""
    sql.delete(sql.get_one(User, ada.id))
    sql.commit()
    assert [(post.user_id, post.text) for post in sql.exec(select(Post).order_by(col(Post.id)))] == [
        (None, ""),
        (2, "Hello!"),
    ]
    assert (sql.exec(select(Social)).all(), sql.exec(select(Session)).all()) == ([], [])
    assert sql.get_one(User, 2).follower_count == 0


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        (Post(user_id=None, text="words without an author"), "post_tombstone_check"),
        (Post(user_id=1, text=""), "post_tombstone_check"),
        (Post(user_id=99, text="x"), "post_user_id_fkey"),
        (Post(user_id=1, parent_id=99, text="x"), "post_parent_id_fkey"),
        (Like(user_id=2, post_id=1), "like_pkey"),
        (Like(user_id=2, post_id=99), "like_post_id_fkey"),
        (Like(user_id=99, post_id=1), "like_user_id_fkey"),
        (Social(follower_id=1, followed_id=2), "social_pkey"),
        (Social(follower_id=1, followed_id=1), "social_not_self_check"),
        (Social(follower_id=1, followed_id=99), "social_followed_id_fkey"),
        (Social(follower_id=99, followed_id=1), "social_follower_id_fkey"),
        (User(username="eve", email="ADA@EXAMPLE.COM", password_hash=""), "user_email_key"),
        (User(username="ADA", email="eve@example.com", password_hash=""), "user_username_key"),
        (User(username="Timeline", email="eve@example.com", password_hash=""), "user_username_reserved_check"),
        (User(username="123", email="eve@example.com", password_hash=""), "user_username_check"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_rule_that_is_broken_is_named(sql: SqlSession, ada: User, row: SQLModel, constraint: str) -> None:
    sql.add(row.model_copy())
    with pytest.raises(IntegrityError) as refused:
        sql.commit()
    assert cast(psycopg2.Error, refused.value.orig).diag.constraint_name == constraint


def convention(constraint: Any) -> str:
    """A pattern of the names that house style gives to a constraint or an index."""
    table = constraint.table.name
    if isinstance(constraint, PrimaryKeyConstraint):
        return f"{table}_pkey"
    if isinstance(constraint, ForeignKeyConstraint):
        return f"{table}_{constraint.column_keys[0]}_fkey"
    if isinstance(constraint, CheckConstraint):
        return rf"{table}_\w+_check"
    return rf"{table}_\w+_key" if getattr(constraint, "unique", True) else rf"{table}_\w+"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_constraint_and_index_is_named_after_its_table(table: Table) -> None:
    named: list[Any] = [*table.constraints, *table.indexes]
    for constraint in named:
        assert re.fullmatch(convention(constraint), str(constraint.name))


def test_every_error_of_the_database_that_means_something_can_happen(sql: SqlSession) -> None:
    """The names that meanings.py knows are of constraints, of unique indexes, or raised by a trigger."""
    schema = "current_schema()::regnamespace"
    constraints = sql.scalars(text(f"SELECT conname FROM pg_constraint WHERE connamespace = {schema}")).all()
    indexes = sql.scalars(text(f"SELECT relname FROM pg_class WHERE relkind = 'i' AND relnamespace = {schema}")).all()
    triggers = " ".join(sql.scalars(text(f"SELECT prosrc FROM pg_proc WHERE pronamespace = {schema}")))
    raised = re.findall(r"CONSTRAINT = '(\w+)'", triggers)
    assert CONSTRAINTS.keys() <= {*constraints, *indexes, *raised}
    assert {*raised} <= CONSTRAINTS.keys()


# Shapes.

ADA = {"id": literal_column("1"), "username": literal_column("'ada'"), "name": null(), "avatar": null()}


def test_a_shape_is_json_of_the_models_fields_in_their_order(sql: SqlSession) -> None:
    backwards = dict(reversed(ADA.items()))
    found = sql.scalar(select(sql_cast(shaped(UserSummary, **backwards), Text)))
    assert found == '{"id":1,"username":"ada","name":null,"avatar":null}'


def test_a_shape_without_one_of_the_fields_is_refused() -> None:
    with pytest.raises(TypeError, match=r"UserSummary has other fields than these columns: \['avatar', 'name'\]"):
        shaped(UserSummary, id=ADA["id"], username=ADA["username"])


def test_a_shape_with_another_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"UserSummary has other fields than these columns: \['email'\]"):
        shaped(UserSummary, **ADA, email=null())
