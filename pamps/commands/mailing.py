"""What `pamps doctor` finds of mail: whether the mail server takes it, and what waits."""

import asyncio

from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.mail.smtp import MailServer, TryLater

LONG = 3600  # seconds; a link has ended by then
WAITING = text("""
    SELECT count(*) FILTER (WHERE status <> 'failed'), count(*) FILTER (WHERE status = 'failed'),
        coalesce(extract(epoch FROM clock_timestamp() - min(created) FILTER (WHERE status <> 'failed')), 0)::float8
    FROM pgqueuer
""")


def refusal(settings: Settings) -> str | None:
    """Why the mail server takes no mail from us: it can't be reached, secured or signed in to; None where it can."""

    async def connect() -> None:
        async with MailServer(settings.mail).session():
            pass

    try:
        asyncio.run(connect())
    except TryLater as error:
        return str(error)
    return None


def waiting(engine: Engine) -> tuple[int, int, float]:
    """How many mails wait, how many were given up, and how old the oldest is that waits, in seconds."""
    with engine.connect() as connection:
        waits, failed, age = connection.execute(WAITING).one()
    return waits, failed, age
