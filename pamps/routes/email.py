"""Email: whether it is mine, and a new password by it."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from pamps.addresses import home_network
from pamps.auth import Owner, Viewer
from pamps.config import Settings as AllSettings
from pamps.dependencies import Database, Passwords, Settings
from pamps.errors import EmailVerified, LinkInvalid, MailedAlready, MailNotConfigured
from pamps.mail.languages import Language, MailLanguage
from pamps.models.mail import EmailResponse, EmailVerification, PasswordReset, PasswordResetRequest
from pamps.queries import mail as mails
from pamps.routes import json
from pamps.routes.proof import not_ones_name
from pamps.routing.documented import raises
from pamps.routing.route import Route
from pamps.tokens import kid, link_hash, link_token, new_seed

router = APIRouter(tags=["email"], route_class=Route)

NOTHING: dict[str, Any] = {"application/json": {"schema": {"type": "object", "additionalProperties": False}}}


def on_its_way(to_whom: str) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the answer while the mail is still in the queue."""
    return {202: {"description": f"A link is on its way {to_whom}", "content": NOTHING}}


@router.get("/user/me/email/", response_model=EmailResponse)
async def email(viewer: Viewer, db: Database) -> Response:
    """My email, and since when it is known to be mine."""
    return json(await db.one(mails.email, viewer))


@router.post(
    "/user/me/email/verification/",
    status_code=202,
    response_model=None,
    responses={**on_its_way("to me"), **raises(EmailVerified, MailedAlready, MailNotConfigured)},
)
async def ask_verification(viewer: Owner, db: Database, settings: Settings, language: MailLanguage) -> Response:
    """Have a link mailed to me that verifies my email."""
    await db.one(mails.ask_verification, viewer, language=language, **new_link(settings))
    return Response("{}", 202, media_type="application/json")


@router.post("/email_verification", status_code=204, response_model=None, responses=raises(LinkInvalid))
async def verify(body: EmailVerification, db: Database) -> Response:
    """Verify an email by the token that was mailed to it."""
    if await db.row(mails.verify, token_hash=link_hash(body.token)) is None:
        raise LinkInvalid()
    return Response(status_code=204)


@router.post(
    "/password_reset",
    status_code=202,
    response_model=None,
    responses={**on_its_way("if there is such an account"), **raises(MailNotConfigured)},
)
async def ask_password_reset(body: PasswordResetRequest, db: Database, language: MailLanguage) -> Response:
    """Have a link for a new password mailed to whoever has this email; 202 whether there is anybody or not."""
    await db.row(mails.ask_password_reset, email=body.email, language=language)
    return Response("{}", 202, media_type="application/json")


@router.post("/password_reset/confirm", status_code=204, response_model=None, responses=raises(LinkInvalid))
async def reset_password(
    request: Request, body: PasswordReset, db: Database, passwords: Passwords, language: Language
) -> Response:
    """Set a new password by the token that was mailed; every session of the account ends."""
    token_hash = link_hash(body.token)
    whose = await db.row(mails.password_reset, token_hash=token_hash)
    password_hash = None
    if whose is not None:
        not_ones_name(body.new_password, whose, "new_password")
        password_hash = await passwords.hash(body.new_password)
    changed = await db.row(
        mails.reset_password,
        token_hash=token_hash,
        password_hash=password_hash,
        language=language,
        network=home_network(request.client.host if request.client else None),
    )
    if changed is None:  # also where, while it was hashed, the link was used or the email was changed
        raise LinkInvalid()
    return Response(status_code=204)


def new_link(settings: AllSettings) -> dict[str, Any]:
    """What is stored and queued of a new link to verify an email, and how long it lasts."""
    key, seed = settings.security.secret_key, new_seed()
    return {
        "seed": seed,
        "kid": kid(key),
        "token_hash": link_hash(link_token(seed, key)),
        "lasts": timedelta(minutes=settings.mail.verification_expire_minutes),
        "spacing": timedelta(minutes=settings.mail.resend_minutes),
    }
