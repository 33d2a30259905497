"""The second factor of an account: begin, confirm, new recovery codes, turn off. For its owner, by a sign-in alone."""

from typing import Any

from asyncpg import Record
from fastapi import APIRouter, Request, Response

from pamps import codes
from pamps.auth import Owner
from pamps.dependencies import Database, Passwords, Settings
from pamps.errors import CodeRefused, TooManyAttempts, TwoFactorOff, TwoFactorOn
from pamps.mail.languages import Language
from pamps.models.two_factor import (
    BothFactors,
    FirstCode,
    PasswordAgain,
    RecoveryCodes,
    TwoFactorResponse,
    TwoFactorSecret,
)
from pamps.queries import two_factor as two_factors
from pamps.routes import NO_STORE, json
from pamps.routes.proof import UNPROVEN, guessed, proven
from pamps.routing.documented import raises
from pamps.routing.route import Route

router = APIRouter(prefix="/user/me/two-factor", tags=["user"], route_class=Route)


@router.get("/", response_model=TwoFactorResponse)
async def status(request: Request, viewer: Owner, db: Database) -> Response:
    """Whether signing in takes a code."""
    return json(await db.one(two_factors.status, viewer))


@router.post("/", status_code=201, response_model=TwoFactorSecret, responses=raises(*UNPROVEN, TwoFactorOn))
async def begin(body: PasswordAgain, viewer: Owner, db: Database, passwords: Passwords, settings: Settings) -> Response:
    """A secret for an authenticator. Nothing changes until a code by it is confirmed."""
    me = await proven(body.password, viewer, db, passwords, settings)
    secret = codes.new_secret()
    try:
        await db.one(two_factors.begin, viewer, seen=me["password_hash"], secret=secret)
    except TwoFactorOn:  # the password was right; what the refused statement did would be undone where there is a key
        await db.row(two_factors.take_back, session=viewer.session_id)
        raise
    found = TwoFactorSecret(secret=secret, uri=codes.uri(secret, me["username"], settings.security.issuer))
    return Response(found.model_dump_json(), 201, NO_STORE, "application/json")


@router.post(
    "/confirm/", response_model=RecoveryCodes, responses=raises(CodeRefused, TwoFactorOn, TwoFactorOff, TooManyAttempts)
)
async def confirm(body: FirstCode, viewer: Owner, db: Database, settings: Settings) -> Response:
    """Turn it on with a first code: from now on signing in takes one. The recovery codes are shown this once."""
    me = await guessed(viewer, db, settings)
    step = codes.step_of("".join(body.code.split()), me["secret"])
    fresh = codes.new_recovery_codes()
    try:
        await db.one(two_factors.enable, viewer, secret=me["secret"], step=step, new_codes=codes.hashes(fresh))
    except TwoFactorOff:
        raise TwoFactorOff("Begin first, with POST /user/me/two-factor/") from None
    return shown(fresh)


@router.post("/recovery-codes/", response_model=RecoveryCodes, responses=raises(*UNPROVEN, CodeRefused, TwoFactorOff))
async def renew(body: BothFactors, viewer: Owner, db: Database, passwords: Passwords, settings: Settings) -> Response:
    """New recovery codes, shown this once; those before are good for nothing."""
    me = await proven(body.password, viewer, db, passwords, settings)
    fresh = codes.new_recovery_codes()
    new = {"seen": me["password_hash"], "new_codes": codes.hashes(fresh)}
    await db.one(two_factors.renew, viewer, **new, **code_of(body, me))
    return shown(fresh)


@router.delete("/", status_code=204, response_model=None, responses=raises(*UNPROVEN, CodeRefused, TwoFactorOff))
async def disable(
    body: BothFactors, viewer: Owner, db: Database, passwords: Passwords, settings: Settings, language: Language
) -> Response:
    """Turn it off: signing in takes the password alone again."""
    me = await proven(body.password, viewer, db, passwords, settings)
    await db.one(two_factors.disable, viewer, seen=me["password_hash"], language=language, **code_of(body, me))
    return Response(status_code=204)


def code_of(body: BothFactors, me: Record) -> dict[str, Any]:
    """What a code uses up, as parameters. Whether that is enough is the statement's to say."""
    return codes.used(body.code, me["secret"], me["last_step"], me["recovery_codes"])._asdict()


def shown(fresh: list[str]) -> Response:
    return Response(
        RecoveryCodes(recovery_codes=fresh).model_dump_json(), media_type="application/json", headers=NO_STORE
    )
