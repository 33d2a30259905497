"""Signing in: tokens, given, renewed and revoked."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from asyncpg import Record
from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pamps import codes, config, errors
from pamps.addresses import counted_address, home_network
from pamps.config import Security
from pamps.db.database import Runner
from pamps.dependencies import Database, Passwords, Settings
from pamps.mail.languages import Language
from pamps.models.session import RefreshRequest, RevokeForm, RevokeRequest, Token
from pamps.models.shape import Email
from pamps.queries import session as sessions
from pamps.routes import NO_STORE
from pamps.routing.bodies import FORM, JSON
from pamps.routing.documented import raises
from pamps.routing.injection import read_json
from pamps.routing.route import Route
from pamps.tokens import (
    RefreshToken,
    new_refresh_token,
    read_refresh_token,
    read_token,
    sign_access_token,
)

EMAIL: TypeAdapter[str] = TypeAdapter(Email)
Whence = dict[str, str | None]  # the address that guesses are counted by, the network that devices are known by

router = APIRouter(tags=["auth"], route_class=Route)


class PasswordGrant(BaseModel):
    """The OAuth2 password form (RFC 6749, section 4.3.2); what else a client sends is ignored, as section 3.2 asks."""

    username: str = Field(min_length=1, max_length=254, description="The username, or the email.")
    password: str = Field(min_length=1, max_length=256, json_schema_extra={"format": "password"})
    grant_type: str = Field("", description="`password`, or nothing.")
    code: str = Field("", max_length=64, description="Of the second factor, or a recovery code; if it is on.")


def once_each(kind: type[BaseModel]) -> Callable[[Request], Awaitable[None]]:
    """What refuses a form that has a parameter twice (RFC 6749, section 3.2; RFC 7009 is of the same framework)."""

    async def refuse(request: Request) -> None:
        form = await request.form()
        if any(len(form.getlist(name)) > 1 for name in kind.model_fields):
            raise errors.MalformedBody("the form has a parameter twice")

    return refuse


@router.post(
    "/token",
    dependencies=[Depends(once_each(PasswordGrant))],
    response_model=Token,
    responses=raises(
        errors.WrongCredentials,
        errors.AccountSuspended,
        errors.CodeNeeded,
        errors.WrongCode,
        errors.TooManyAttempts,
        errors.UnsupportedGrant,
    ),
)
async def sign_in(
    request: Request,
    form: Annotated[PasswordGrant, Form()],
    db: Database,
    passwords: Passwords,
    settings: Settings,
    language: Language,
) -> Response:
    """Sign in with a username or an email, a password and, if the account asks for one, a code: starts a session.

    From a network where the account is not known, mail tells of it.
    """
    if form.grant_type not in ("", "password"):
        raise errors.UnsupportedGrant()
    host = request.client.host if request.client else None
    whence = {"address": counted_address(host), "network": home_network(host)}
    account, known = await found(form, whence, db, passwords, settings)
    code = codes.used(form.code, account["secret"], account["last_step"], account["recovery_codes"])
    token = new_refresh_token()
    session = await db.row(
        sessions.start,
        user_id=account["id"],
        login=as_stored(form.username),
        seen=known,
        **code._asdict(),
        lasts=settings.security.refresh_token_expire_minutes * 60,
        user_agent=shown_user_agent(request),
        ip=host,
        family_hash=token.family_hash,
        token_hash=token.token_hash,
        **whence,
        known_here=account["known_here"],
        known_for_days=settings.guesses.known_for_days,
        language=language,
    )
    if session is None:
        await code_missed(form, account, code, whence, db)
        # While this one was checked, the account was suspended, its password changed, or another sign-in upgraded its
        # hash or used the same code.
        return await sign_in(request, form, db, passwords, settings, language)
    return tokens(account["id"], session["id"], token, settings.security)


async def found(
    form: PasswordGrant,
    whence: Whence,
    db: Runner,
    passwords: Passwords,
    settings: config.Settings,
) -> tuple[Record, str]:
    """The account that a password is of, as sessions.credentials knows it, and the hash that it has. Counts a guess."""
    if "\0" in form.username:
        raise errors.WrongCredentials()
    account = await db.row(
        sessions.credentials, login=as_stored(form.username), **whence, **settings.guesses.model_dump()
    )
    assert account is not None  # there is a row for nobody too
    if account["wait"]:
        raise errors.TooManyAttempts(account["wait"])
    known: str | None = account["password_hash"]
    if not await passwords.verify(form.password, known) or known is None:
        raise errors.WrongCredentials()
    if account["suspended_reason"] is not None:
        await take_back(form, account, whence, db)
        raise errors.AccountSuspended(account["suspended_reason"])
    if passwords.outdated(known):
        upgraded = await passwords.hash(form.password)
        if await db.row(sessions.upgrade_hash, user_id=account["id"], seen=known, password_hash=upgraded):
            known = upgraded
    return account, known


async def code_missed(form: PasswordGrant, account: Record, code: codes.Used, whence: Whence, db: Runner) -> None:
    """Why a sign-in has started no session, if it is for a code that the account asks for: CodeNeeded or WrongCode."""
    if account["secret"] is None or code != codes.Used():
        return
    if form.code:
        raise errors.WrongCode()
    await take_back(form, account, whence, db)
    raise errors.CodeNeeded()


async def take_back(form: PasswordGrant, account: Record, whence: Whence, db: Runner) -> None:
    """Take back the guess that was counted: the password was right, though it starts no session."""
    login = as_stored(form.username)
    await db.row(sessions.take_back, user_id=account["id"], login=login, known_here=account["known_here"], **whence)


def as_stored(login: str) -> str:
    """An email with its domain in the form that registering gave it; all else as it was sent."""
    try:
        return EMAIL.validate_python(login)
    except ValidationError:
        return login


@router.post("/refresh_token", response_model=Token, responses=raises(errors.InvalidToken, errors.SessionEnded))
async def refresh(body: RefreshRequest, db: Database, settings: Settings) -> Response:
    """Exchange a refresh token for new tokens. A spent one used again ends its whole session."""
    sent = read_refresh_token(body.refresh_token)
    token = new_refresh_token(body.refresh_token)
    session = await db.row(
        sessions.refresh,
        family_hash=sent.family_hash,
        token_hash=sent.token_hash,
        new_token_hash=token.token_hash,
        lasts=settings.security.refresh_token_expire_minutes * 60,
    )
    if session is None:
        await db.row(sessions.end_spent, family_hash=sent.family_hash, token_hash=sent.token_hash)
        raise errors.SessionEnded()
    return tokens(session["user_id"], session["id"], token, settings.security)


REVOKE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/RevokeForm"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/RevokeRequest"}},
        },
    }
}


@router.post(
    "/revoke_token",
    response_model=None,
    responses={
        200: {
            "description": "The session, if the token had one, is over",
            "content": {"application/json": {"schema": {"type": "object", "additionalProperties": False}}},
        },
        **raises(errors.MalformedBody, errors.BodyTooLarge, errors.UnsupportedMediaType, errors.InvalidRequest),
    },
    openapi_extra=REVOKE_BODY,
)
async def revoke(request: Request, db: Database, settings: Settings) -> Response:
    """End the session of a token of any kind (RFC 7009); 200 whether there was one or not."""
    token = (await revocation(request)).token
    try:
        sent = read_refresh_token(token)
        await db.row(sessions.revoke_by_refresh_token, family_hash=sent.family_hash)
    except errors.InvalidToken:
        await revoke_bearer_token(token, db, settings.security)
    return Response("{}", media_type="application/json", headers=NO_STORE)


async def revoke_bearer_token(token: str, db: Database, settings: Security) -> None:
    try:
        claim = read_token(token, settings, expired_too=True)
    except errors.InvalidToken:
        return  # RFC 7009, section 2.2: a token that is not ours is as good as revoked
    if claim.proof is None:
        await db.row(sessions.revoke_by_access_token, id=claim.session_id, user_id=claim.user_id)
    else:
        whose = {"id": claim.session_id, "user_id": claim.user_id}
        await db.row(sessions.revoke_personal_token, token_hash=claim.proof, **whose)


async def revocation(request: Request) -> RevokeForm | RevokeRequest:
    """The body of a revocation: a form as RFC 7009 has it, or JSON like everywhere else here."""
    media_type = request.headers.get("content-type", "")
    try:
        if JSON.match(media_type):
            return RevokeRequest.model_validate(await read_json(request))
        if FORM.match(media_type):
            await once_each(RevokeForm)(request)
            async with request.form() as form:
                return RevokeForm.model_validate({name: form[name] for name in form})
    except ValidationError as error:
        found: list[Any] = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_input=False)]
        raise RequestValidationError(found) from None
    raise errors.UnsupportedMediaType()


def tokens(user_id: int, session_id: int, refresh_token: RefreshToken, settings: Security) -> Response:
    """The answer to a sign-in or a refresh."""
    now = time.time()
    token = Token(
        access_token=sign_access_token(user_id, session_id, now, settings),
        refresh_token=refresh_token.text,
        token_type="bearer",  # nosec B106 # RFC 6750's word
        expires_in=int(settings.access_token_expire_minutes * 60),
    )
    return Response(token.model_dump_json(), media_type="application/json", headers=NO_STORE)


def shown_user_agent(request: Request) -> str | None:
    """What the client calls itself, for the list of sessions."""
    sent = request.headers.get("user-agent")
    return sent[:300].replace("\0", "") if sent else None
