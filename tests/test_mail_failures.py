"""Mail and its bad days: what was taken is not sent again, what was not is, and what can't be is given up."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2

from pamps.db import drivers
from tests.mailbox import Mailbox, served
from tests.mailing import Place, ask
from tests.processes import until

pytest_plugins = "tests.mail_fixtures"

# Sets when the link in the mail that waits ends, counted from now.
ENDS = (
    "UPDATE pgqueuer SET payload = convert_to(jsonb_set(convert_from(payload, 'UTF8')::jsonb, '{fields,until}', "
    "to_jsonb(to_char(now() AT TIME ZONE 'UTC' + interval '%s', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')))::text, 'UTF8')"
)


class Cutting(Mailbox):
    """Does something between what a mail says and the word that it is taken."""

    def __init__(self, meanwhile: Callable[[], object]):
        super().__init__()
        self.meanwhile = meanwhile

    async def handle_DATA(self, *arguments: Any) -> str:  # noqa: N802  # aiosmtpd's name
        answer = await super().handle_DATA(*arguments)
        self.meanwhile()
        return answer


class Garbled(asyncio.Protocol):
    """Is no mail server at all."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello\r\n")


def test_a_link_that_has_ended_is_not_mailed(place: Place) -> None:
    mailbox = Mailbox()
    with place.serving(mailbox) as server:
        ask(server, server.register("ada"))
        until(lambda: place.jobs()[0][1] >= 1)
    place.sql(ENDS % "-1 second")
    with mailbox.open(), place.serving(mailbox) as server:
        until(lambda: place.jobs()[0][0] == "failed")
        server.expected = {"mail 1 (verification, user 1) is given up: its link has ended"}
    assert mailbox.taken == []


def test_a_mail_that_was_taken_while_the_database_was_cut_off_is_struck_off_by_the_next_connection(
    place: Place,
) -> None:
    cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
    mailbox = Cutting(lambda: place.sql(f"{cut} current_database()"))
    with mailbox.open(), place.serving(mailbox) as server:
        ask(server, server.register("ada"))
        until(lambda: "not yet struck off" in server.output)
        until(lambda: place.jobs() == [], deadline=20)
    assert len(mailbox.taken) == 1


def test_a_mail_that_can_not_be_struck_off_is_not_sent_again(place: Place) -> None:
    mailbox = Mailbox()
    with mailbox.open(), place.serving(mailbox) as server:
        headers = server.register("ada")
        place.sql(
            "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;"
            "CREATE TRIGGER not_now BEFORE DELETE ON pgqueuer EXECUTE FUNCTION not_now()"
        )
        ask(server, headers)
        until(lambda: "not yet struck off" in server.output)
        for times in (2, 3):
            place.sql("UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 hour'")  # as after as long
            until(lambda: server.output.count("not yet struck off") >= times)  # noqa: B023
        place.sql("DROP TRIGGER not_now ON pgqueuer")
        place.sql("UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 hour'")
        until(lambda: place.jobs() == [])
        server.expected = set(server.complaints)
    assert len(mailbox.taken) == 1


def test_what_is_refused_for_what_it_says_is_given_up_too(place: Place) -> None:
    class Strict(Mailbox):
        async def handle_DATA(self, *arguments: Any) -> str:  # noqa: N802
            return "554 5.7.1 not that"

    mailbox = Strict()
    with mailbox.open(), place.serving(mailbox) as server:
        ask(server, server.register("ada"))
        until(lambda: place.jobs() == [("failed", 0)])
        server.expected = {"mail 1 (verification, user 1) is given up: 554 5.7.1 not that"}


def test_what_is_no_mail_server_loses_no_mail(place: Place) -> None:
    mailbox = Mailbox()
    with place.serving(mailbox) as server:
        with served(Garbled, mailbox.port):
            ask(server, server.register("ada"))
            until(lambda: place.jobs()[0][1] >= 2)
        with mailbox.open():
            mailbox.wait()


def test_who_asks_for_a_new_password_while_the_database_is_busy_gets_the_mail_later(place: Place) -> None:
    mailbox = Mailbox()
    with mailbox.open(), place.serving(mailbox, db__lock_timeout=0.1) as server:
        server.register("ada")
        with closing(psycopg2.connect(drivers.asyncpg_uri(place.uri))) as held:
            held.cursor().execute("LOCK TABLE link")
            assert server.request("POST", "/password_reset", json={"email": "ada@example.com"}).status_code == 202
            until(lambda: place.jobs()[0][1] >= 1)
        assert mailbox.wait()[0]["Subject"] == "Reset your password for Pamps"
        until(lambda: place.jobs() == [])
