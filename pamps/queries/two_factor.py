"""The second factor: begin, turn on, use up codes, turn off."""

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Text,
    and_,
    any_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.errors import CodeRefused
from pamps.models.two_factor import TwoFactorResponse, two_factors
from pamps.models.user import users
from pamps.queries.attempt import by_session, forgiven, taken_back
from pamps.queries.mail import noticed
from pamps.queries.sql import SEEN, SESSION, USERNAME, VIEWER, Column, instant, own, same, shaped, signed_in

SECRET = bindparam("secret", type_=Text)
STEP = bindparam("step", type_=BigInteger)
RECOVERY_CODE = bindparam("recovery_code", type_=Text)
NEW_CODES = bindparam("new_codes", type_=ARRAY(Text))


def on() -> Column:
    """That the second factor of a row is turned on."""
    found: Column = two_factors.c.enabled_at.is_not(None)
    return found


def unused() -> Column:
    """That the code is of the secret of a row, and was not used: whoever comes second finds the first one's row."""
    fresh = or_(two_factors.c.last_step < STEP, RECOVERY_CODE == any_(two_factors.c.recovery_codes))  # noqa: SIM300
    return and_(two_factors.c.secret == SECRET, on(), fresh)


def same_password(user: Column) -> Column:
    """That a user's password is still the one that was verified."""
    return exists().where(users.c.id == user, users.c.password_hash == SEEN)


def used(user: Column) -> CTE:
    """Uses up a code of a user, whose id it gives: never twice."""
    return (
        update(two_factors)
        .where(two_factors.c.user_id == user, unused(), same_password(user))
        .values(
            last_step=func.greatest(two_factors.c.last_step, STEP),
            recovery_codes=func.array_remove(two_factors.c.recovery_codes, RECOVERY_CODE),
        )
        .returning(two_factors.c.user_id)
        .cte("used")
    )


def satisfied(user: Column, code: CTE) -> Column:
    """That a user has no second factor, or has used a code."""
    return or_(~exists().where(two_factors.c.user_id == user, on()), exists().select_from(code))


whose = select(two_factors).where(two_factors.c.user_id == VIEWER, on()).subquery("whose")
status = Statement(
    own(
        select(
            shaped(
                TwoFactorResponse,
                enabled=whose.c.enabled_at.is_not(None),
                enabled_at=instant(whose.c.enabled_at),
                recovery_codes_left=func.coalesce(func.cardinality(whose.c.recovery_codes), literal_column("0")),
            ).label("body")
        ).select_from(select(literal_column("1")).subquery("somebody").outerjoin(whose, true()))
    )
)

# Of a guess in this session that was right, and changes nothing: it is on already, or was answered before.
take_back = Statement(select(taken_back(by_session(SESSION))), aside=True)

# Begun again it has another secret; once it is on, it stays what it is.
fresh = insert(two_factors).from_select(
    ["user_id", "secret"],
    select(users.c.id, SECRET).where(users.c.id == VIEWER, users.c.password_hash == SEEN, signed_in()),
    include_defaults=False,
)
begun = (
    fresh.on_conflict_do_update(
        constraint="two_factor_pkey", set_={"secret": fresh.excluded.secret}, where=two_factors.c.enabled_at.is_(None)
    )
    .returning(two_factors.c.user_id)
    .cte("begun")
)
begin = Statement(
    select(
        case((exists().select_from(begun), null()), else_=literal_column("'two-factor-on'")).label("refused"),
        # Where it is on, codes have been guessed, and the password alone forgives none of that.
        case((exists().select_from(begun), forgiven(VIEWER, by_session(SESSION)))),
    ).where(same_password(VIEWER), signed_in()),
    instead=take_back,
)

enabled = (
    update(two_factors)
    .where(two_factors.c.user_id == VIEWER, two_factors.c.secret == SECRET, STEP.is_not(None), ~on(), signed_in())
    .values(enabled_at=func.clock_timestamp(), last_step=STEP, recovery_codes=NEW_CODES)
    .returning(two_factors.c.user_id)
    .cte("enabled")
)
is_on = exists().where(two_factors.c.user_id == VIEWER, on())
enable = Statement(
    own(
        select(
            case(
                (exists().select_from(enabled), null()),
                (SECRET.is_(None), literal_column("'two-factor-off'")),
                (and_(STEP.is_(None), ~is_on), literal_column("'code-refused'")),
                else_=literal_column("'two-factor-on'"),
            ).label("refused"),
            case((exists().select_from(enabled), taken_back(by_session(SESSION)))),
        )
    ),
    instead=take_back,
)


def forgiving(changed: CTE, *besides: Column) -> Statement:
    """The statement of a change that a password and a code were guessed right for: it takes the guess back."""
    refused = case((~is_on, literal_column("'two-factor-off'"))).label("refused")
    body = select(changed.c.user_id).scalar_subquery().label("body")
    forgiving = select(forgiven(changed.c.user_id, by_session(SESSION))).scalar_subquery()
    return Statement(own(select(refused, body, forgiving, *besides)), missing=CodeRefused, instead=take_back)


renewed = (
    update(two_factors)
    .where(two_factors.c.user_id == VIEWER, unused(), same_password(VIEWER), signed_in())
    .values(last_step=func.greatest(two_factors.c.last_step, STEP), recovery_codes=NEW_CODES)
    .returning(two_factors.c.user_id)
    .cte("renewed")
)
renew = forgiving(renewed)

disabled = (
    delete(two_factors)
    .where(two_factors.c.user_id == VIEWER, unused(), same_password(VIEWER), signed_in())
    .returning(two_factors.c.user_id)
    .cte("disabled")
)
disable = forgiving(
    disabled, select(noticed("two_factor_off", users)).where(users.c.id == disabled.c.user_id).scalar_subquery()
)

# For `pamps two-factor-off`: a row for a user, and whether there was anything to turn off.
named = select(users.c.id, users.c.username, users.c.email).where(same(users.c.username, USERNAME)).cte("named")
dropped = (
    delete(two_factors).where(two_factors.c.user_id == named.c.id).returning(two_factors.c.enabled_at).cte("dropped")
)
was_on = exists().where(dropped.c.enabled_at.is_not(None))
turn_off = Statement(
    select(named.c.id, was_on.label("was_on"), noticed("two_factor_off", named, case((was_on, named.c.email))))
)
