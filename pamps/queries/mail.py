"""Mail: what puts it into the queue, in the statement that it is about; links that are sent, and what they do."""

from typing import Any

from sqlalchemy import (
    CTE,
    DateTime,
    FromClause,
    Integer,
    Interval,
    LargeBinary,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    table,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.models.mail import PASSWORD_RESET, VERIFICATION, EmailResponse, links
from pamps.models.user import users
from pamps.queries.attempt import forgiven
from pamps.queries.device import seen
from pamps.queries.sql import TOKEN, VIEWER, Column, instant, one, own, same, shaped, signed_in

LANGUAGE = bindparam("language", type_=Text)
EMAIL = bindparam("email", type_=Text)
SEED, KID = bindparam("seed", type_=Text), bindparam("kid", type_=Text)
LASTS, SPACING = bindparam("lasts", type_=Interval), bindparam("spacing", type_=Interval)
AT_ONCE = 3  # links of a kind
NOW: Column = func.clock_timestamp()

# pgqueuer's own, which no model describes.
queue = table(
    "pgqueuer",
    *(column("id"), column("priority", Integer), column("entrypoint", Text), column("status", Text)),
    *(column("payload", LargeBinary), column("updated", DateTime(timezone=True))),
)
queue_log = table("pgqueuer_log", column("job_id"), column("created", DateTime(timezone=True)))
FAILED: Column = literal_column("'failed'::pgqueuer_status")


def quoted(text: str) -> Column:
    return literal_column(f"'{text}'")


def object_of(**fields: Column) -> Column:
    """A JSON object of texts."""
    return func.json_build_object(*(part for name, value in fields.items() for part in (quoted(name), value)))


def mailed(template: str, user: FromClause, address: Column | None = None, **fields: Column) -> Column:
    """Queues a mail to a user: the id of the job. Without a language or an address nothing is, and it is null."""
    whom = user.c.email if address is None else address
    said = object_of(username=user.c.username, **fields)
    return func.enqueue_mail(quoted(template), LANGUAGE, user.c.id, whom, said)


def noticed(template: str, user: FromClause, address: Column | None = None, **fields: Column) -> Column:
    """The same of something that has happened just now."""
    return mailed(template, user, address, at=instant(NOW), **fields)


# What another link moves `spaced_until` on to, and how far ahead that may be.
SPACED: Column = func.greatest(links.c.spaced_until, NOW) + SPACING
MOST: Column = sum([SPACING] * AT_ONCE, NOW)


def link_made(kind: str, whose: Select[Any]) -> CTE:
    """A link of a kind for the user found, in place of an earlier one; none where there have been too many of late.

    `spaced_until` moves on by `spacing` with each, and at most AT_ONCE of them ahead (the leaky bucket of GCRA).
    """
    names = ["user_id", "kind", "email", "token_hash", "expires_at", "spaced_until"]
    user = whose.subquery("whose")
    made = insert(links).from_select(
        names, select(user.c.id, quoted(kind), user.c.email, TOKEN, NOW + LASTS, NOW + SPACING)
    )
    return (
        made.on_conflict_do_update(
            index_elements=[links.c.user_id, links.c.kind],
            set_={**{name: made.excluded[name] for name in names[2:5]}, "spaced_until": SPACED},
            where=SPACED <= MOST,
        )
        .returning(links.c.user_id, links.c.expires_at)
        .cte("made")
    )


def wait_for_link(kind: str, whose: FromClause) -> Column:
    """Seconds until another link may be made; `spacing` where those before have come in this moment."""
    made = select(SPACED - MOST).where(links.c.user_id == whose.c.id, links.c.kind == kind).scalar_subquery()
    return func.extract("epoch", func.coalesce(made, SPACING))


def link_mailed(kind: str, made: CTE, whose: FromClause) -> Column:
    """The mail with a link that was made."""
    fields = {"seed": SEED, "kid": KID, "until": instant(made.c.expires_at)}
    return (
        select(mailed(kind, whose, **fields))
        .select_from(made.join(whose, whose.c.id == made.c.user_id))
        .scalar_subquery()
        .label("queued")
    )


def good(kind: str) -> Column:
    """That a link has this token, is not too old, and was sent to the email that its user still has."""
    there = exists().where(users.c.id == links.c.user_id, users.c.email == links.c.email).correlate(links)
    return and_(links.c.token_hash == TOKEN, links.c.kind == kind, links.c.expires_at > NOW, there)


def spent(kind: str, *conditions: Column) -> CTE:
    """Spends a link. Of two who bring it at once, one finds nothing: it waits for the other, and looks again."""
    found = update(links).where(good(kind), *conditions).values(token_hash=null())
    return found.returning(links.c.user_id, links.c.email).cte("spent")


def whose_mail(link: CTE) -> Column:
    """That a user is the one of a link, and still has its email."""
    return and_(users.c.id == link.c.user_id, users.c.email == link.c.email)


email = Statement(
    own(
        one(
            select(shaped(EmailResponse, email=users.c.email, verified_at=instant(users.c.email_verified_at))).where(
                users.c.id == VIEWER
            )
        )
    )
)

asker = select(users).where(users.c.id == VIEWER, signed_in()).cte("asker")
verification_made = link_made(VERIFICATION, select(asker).where(asker.c.email_verified_at.is_(None)))
ask_verification = Statement(
    select(
        case(
            (asker.c.email_verified_at.is_not(None), quoted("email-verified")),
            (~exists().select_from(verification_made), quoted("mailed-already")),
            else_=null(),
        ).label("refused"),
        case((asker.c.email_verified_at.is_(None), wait_for_link(VERIFICATION, asker))).label("wait"),
        link_mailed(VERIFICATION, verification_made, asker),
    )
)

verification_spent = spent(VERIFICATION)
verify = Statement(
    update(users).where(whose_mail(verification_spent)).values(email_verified_at=NOW).returning(users.c.id)
)

# The same work whether there is such a user or not: who that is, is found out by whoever takes this from the queue.
asked = cast(object_of(email=EMAIL, language=LANGUAGE), Text)
ask_password_reset = Statement(
    insert(queue)
    .values(
        priority=literal_column("1"),
        entrypoint=quoted(PASSWORD_RESET),
        status=quoted("queued"),
        payload=func.convert_to(asked, quoted("UTF8")),
    )
    .returning(queue.c.id)
)

forgetful = select(users).where(same(users.c.email, EMAIL)).cte("forgetful")
reset_made = link_made(PASSWORD_RESET, select(forgetful))
send_password_reset = Statement(select(link_mailed(PASSWORD_RESET, reset_made, forgetful)))

# Looked at before a password is hashed, which is dear, and no connection waits for it; the link is spent only after.
password_reset = Statement(
    select(users.c.username, users.c.email).join(links, links.c.user_id == users.c.id).where(good(PASSWORD_RESET)),
    aside=True,
)

# Whoever has used the link has the email. They are known from now on where they did, so that whoever goes on guessing
# does not hold them up again.
HASH = bindparam("password_hash", type_=Text)
reset_spent = spent(PASSWORD_RESET, HASH.is_not(None))
reset = (
    update(users)
    .where(whose_mail(reset_spent))
    .values(
        password_hash=HASH,
        email_verified_at=func.coalesce(users.c.email_verified_at, NOW),
    )
    .returning(users.c.id, users.c.username, users.c.email)
    .cte("reset")
)
reset_password = Statement(
    select(
        reset.c.id,
        func.end_sessions(reset.c.id, null()),
        forgiven(reset.c.id),
        noticed("password_changed", reset),
    ).add_cte(seen(reset.c.id))
)

# What nobody will look at any more: mail that was given up, and pgqueuer's log of every job, by which it is found.
# now() and not clock_timestamp(), which no index can be searched by.
OLD: Column = func.now() - literal_column("interval '30 days'")
of_old = select(queue_log.c.job_id).where(queue_log.c.created < OLD)
forget_failed = Statement(
    delete(queue).where(queue.c.id.in_(of_old), queue.c.status == FAILED, queue.c.updated < OLD).returning(queue.c.id)
)
forget_log = Statement(delete(queue_log).where(queue_log.c.created < OLD).returning(queue_log.c.job_id))
