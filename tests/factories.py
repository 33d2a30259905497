"""Builds the world that a test needs, past the API: straight into the tables, as the shell would."""

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Engine, text
from sqlmodel import Session as SqlSession

from pamps import codes
from pamps.config import Settings
from pamps.models import Device, Like, Link, Post, Session, Social, TwoFactor, User
from pamps.models.session import SCOPES
from pamps.passwords import Passwords
from pamps.tokens import (
    RefreshToken,
    link_hash,
    link_token,
    new_personal_token,
    new_refresh_token,
    new_seed,
    sign_access_token,
)

PASSWORD = "correct horse battery"

Row = TypeVar("Row", User, Post, Like, Social, Session, Device, TwoFactor, Link)


def recovery_code(number: int) -> str:
    return f"abcd-efgh-jkmn-pqr{number + 2}" if number < 8 else f"abcd-efgh-jkmn-pq{number - 6}z"


class World:
    """Rows, made as they are named; each is committed when its method returns."""

    def __init__(self, engine: Engine, settings: Settings):
        self.session = SqlSession(engine, expire_on_commit=False)
        self.settings = settings
        self.passwords = Passwords(settings.security)
        self.count = 0

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *error: object) -> None:
        self.session.close()

    def user(self, username: str | None = None, password: str = PASSWORD, **fields: Any) -> User:
        """A person; usernames and emails make themselves."""
        self.count += 1
        username = username or f"user{self.count}"
        fields.setdefault("email", f"{username}@example.com")
        fields.setdefault("password_hash", self.passwords.context.hash(password))
        return self.add(User(username=username, **fields))

    def post(self, by: User, text: str = "Hello, world!", parent: Post | None = None, **fields: Any) -> Post:
        """A post, or with a parent a reply."""
        return self.add(Post(user_id=by.id, text=text, parent_id=parent.id if parent else None, **fields))

    def like(self, by: User, post: Post, **fields: Any) -> Like:
        return self.add(Like(**{"user_id": by.id, "post_id": post.id, **fields}))

    def follow(self, who: User, whom: User, **fields: Any) -> Social:
        return self.add(Social(**{"follower_id": who.id, "followed_id": whom.id, **fields}))

    def sign_in(self, user: User, expires_in: timedelta = timedelta(days=1)) -> tuple[str, RefreshToken]:
        """A session: its access token and its refresh token."""
        refresh = new_refresh_token()
        assert user.id is not None
        row = self.add(
            Session(
                user_id=user.id,
                expires_at=datetime.now(UTC) + expires_in,
                family_hash=refresh.family_hash,
                token_hash=refresh.token_hash,
            )
        )
        assert row.id is not None
        return sign_access_token(user.id, row.id, time.time(), self.settings.security), refresh

    def personal_token(
        self, user: User, scopes: Collection[str] = SCOPES, expires_in: timedelta = timedelta(days=1), name: str = ""
    ) -> str:
        """A personal token; names make themselves."""
        self.count += 1
        token = new_personal_token(scopes)
        assert user.id is not None
        row = self.add(
            Session(
                user_id=user.id,
                expires_at=datetime.now(UTC) + expires_in,
                token_hash=token.token_hash,
                name=name or f"token{self.count}",
                scopes=token.scopes,
            )
        )
        assert row.id is not None
        return token.text(user.id, row.id)

    def personal_tokens(self, user: User, count: int) -> None:
        """So many personal tokens that nobody has the texts of."""
        self.session.execute(
            text(
                "INSERT INTO session (user_id, expires_at, token_hash, name, scopes) "
                "SELECT :user, now() + interval '1 day', 'hash', 'old ' || n, '{read}' "
                "FROM generate_series(1, :count) AS n"
            ),
            {"user": user.id, "count": count},
        )
        self.session.commit()

    def second_factor(self, user: User, **fields: Any) -> str:
        """A second factor that is on: its secret. Its recovery codes are `recovery_code` from 0 to 9."""
        assert user.id is not None
        fields = {"secret": codes.new_secret(), "enabled_at": datetime.now(UTC), **fields}
        hashed = codes.hashes([recovery_code(number) for number in range(10)])
        return self.add(TwoFactor(**{"user_id": user.id, "recovery_codes": hashed, **fields})).secret

    def link(self, user: User, kind: str, **fields: Any) -> str:
        """A link that was mailed to somebody: its token."""
        token = link_token(new_seed(), self.settings.security.secret_key)
        soon = datetime.now(UTC) + timedelta(hours=1)
        assert user.id is not None
        known = {"user_id": user.id, "kind": kind, "email": user.email, "token_hash": link_hash(token)}
        self.add(Link(**{**known, "expires_at": soon, "spaced_until": soon, **fields}))
        return token

    def add(self, row: Row) -> Row:
        self.session.add(row)
        self.session.commit()
        self.session.refresh(row)
        self.session.close()  # the transaction that refreshing began; the session goes on with the next row
        return row
