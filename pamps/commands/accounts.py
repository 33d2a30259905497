"""Accounts, as an operator handles them: with the statements and by the rules of the API."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError

from pamps.commands.ready import run
from pamps.config import Settings
from pamps.db.database import Database
from pamps.db.statement import Statement
from pamps.errors import InvalidRequest, TwoFactorOff, UserNotFound
from pamps.models.moderation import RoleRequest, SuspensionRequest
from pamps.models.shape import Password, in_words, own
from pamps.models.user import UserRequest, UserUpdate
from pamps.queries import moderation
from pamps.queries import two_factor as two_factors
from pamps.queries import user as users

PAGE = 100

Shape = TypeVar("Shape", bound=BaseModel)


def profile(**fields: str | None) -> UserUpdate:
    """The fields of an account but its password. Raises InvalidRequest."""
    return checked(UserUpdate, fields)


def add(settings: Settings, profile: UserUpdate, password: str, admin: bool = False) -> dict[str, Any]:
    """Register somebody, perhaps as an admin: their UserResponse.

    Raises InvalidRequest, UsernameTaken, UsernameReserved, EmailTaken.
    """
    request = checked(UserRequest, {**profile.model_dump(), "password": password})

    async def register(db: Database) -> dict[str, Any]:
        account = {**request.model_dump(exclude={"password"}), "role": "admin" if admin else "user"}
        row = await db.one(users.register, password_hash=await hash_of(request.password, settings), **account)
        found: dict[str, Any] = json.loads(row["body"])
        return found

    return run(settings, register)


def set_password(settings: Settings, username: str, password: str) -> None:
    """Give somebody a new password, which ends their sessions and is told them. Raises InvalidRequest, UserNotFound."""

    async def change(db: Database) -> None:
        names = await db.row(users.names, username=username)
        if names is None:
            raise UserNotFound(f"there is no user {username}")
        fit(password, names["username"], names["email"])
        hashed = await hash_of(password, settings)
        changed = await db.row(users.set_password, username=username, password_hash=hashed, language=told_in(settings))
        if changed is None:
            raise UserNotFound(f"there is no user {username}")

    fit(password)
    run(settings, change)


def fit(password: str, username: str | None = None, email: str | None = None) -> None:
    """Raises InvalidRequest for a password that can't be one, or not its owner's."""
    try:
        TypeAdapter(Annotated[Password, AfterValidator(lambda found: own(found, username, email))]).validate_python(
            password
        )
    except ValidationError as error:
        raise InvalidRequest(sentence(error, "password")) from None


def drop_second_factor(settings: Settings, username: str) -> None:
    """Let somebody sign in with the password alone again, and tell them so. Raises UserNotFound, TwoFactorOff."""

    async def drop(db: Database) -> None:
        found = await db.row(two_factors.turn_off, username=username, language=told_in(settings))
        if found is None:
            raise UserNotFound(f"there is no user {username}")
        if not found["was_on"]:
            raise TwoFactorOff()

    run(settings, drop)


def told_in(settings: Settings) -> str | None:
    """The language in which somebody is told by mail of what an operator did; None where no mail is sent."""
    from pamps.mail.languages import ENGLISH  # slow to import, like what it is needed beside

    return ENGLISH if settings.mails else None


def suspend(settings: Settings, username: str, reason: str) -> None:
    """Suspend an account. Raises InvalidRequest, UserNotFound, LastAdmin."""
    given = checked(SuspensionRequest, {"reason": reason})
    run(settings, lambda db: of_somebody(db, moderation.suspend_by_operator, username, reason=given.reason))


def let_back(settings: Settings, username: str) -> None:
    """Let a suspended account back. Raises UserNotFound."""
    run(settings, lambda db: of_somebody(db, moderation.let_back_by_operator, username))


def give_role(settings: Settings, username: str, role: str) -> None:
    """Give somebody a role. Raises InvalidRequest, UserNotFound, LastAdmin."""
    given = checked(RoleRequest, {"role": role})
    run(settings, lambda db: of_somebody(db, moderation.give_role_by_operator, username, role=given.role))


async def of_somebody(db: Database, statement: Statement, username: str, **values: str) -> None:
    if await db.row(statement, username=username, **values) is None:
        raise UserNotFound(f"there is no user {username}")


async def hash_of(password: str, settings: Settings) -> str:
    from pamps.passwords import Passwords  # slow to import, and to list users there is no need of it

    return await Passwords(settings.security).hash(password)


async def pages(db: Database, prefix: str, limit: int | None) -> AsyncIterator[list[dict[str, Any]]]:
    """UserResponses, newest first, a page at a time: everybody, or whose username or name begins with `prefix`."""
    cursor, left = None, limit
    while left is None or left > 0:
        page: dict[str, Any] = {"limit": PAGE if left is None else min(left, PAGE), "cursor_id": cursor}
        row = await (db.one(users.search, q=prefix, **page) if prefix else db.one(users.everyone, **page))
        found = json.loads(row["body"])
        yield found
        if row["next"] is None:
            return
        cursor, left = int(row["next"]), None if left is None else left - len(found)


def checked(shape: type[Shape], fields: dict[str, Any]) -> Shape:
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(sentence(error)) from None


def sentence(error: ValidationError, name: str = "") -> str:
    """The first thing that is wrong, in one line that names the field."""
    first = error.errors(include_input=False)[0]
    name = name or ".".join(str(part) for part in first["loc"])
    said = in_words(first)
    return f"{name}: {said[0].lower()}{said[1:]}"
