"""Mail, over the API and a real SMTP server: what is sent, to whom, in whose language, and what links do."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.db import drivers
from tests.api import Api, problem
from tests.factories import PASSWORD, World, recovery_code
from tests.guessing import EARLY, FAR, HOME, WRONG, at, sign_in, wrong
from tests.mailbox import Mailbox, html, plain
from tests.processes import until
from tests.tables import unchanged
from tests.test_at_once import NO_USE_OF_USER_1, locked

APP = "https://app.example.com"
NEW = "another password"
PORTUGUESE = {"Accept-Language": "pt-BR,pt;q=0.9,en;q=0.8"}


def mailing(settings: Settings, port: int, **changes: Any) -> Settings:
    """The settings with a mail server."""
    mail = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "Pamps <pamps@example.org>", "base_url": APP}
    changed = {**mail, "retry_seconds": 0.1, **changes}
    return settings.model_copy(update={"mail": settings.mail.model_copy(update=changed)})


# A database of its own: on the one that other tests use, services without a mail server deliver too.


@pytest.fixture(scope="module")
def engine(migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = drivers.engine(migrated_database())
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def here(settings: Settings, engine: Engine) -> Settings:
    """The settings with that database."""
    uri = engine.url.render_as_string(hide_password=False)
    return settings.model_copy(update={"db": settings.db.model_copy(update={"uri": uri})})


@pytest.fixture(scope="module")
def service(here: Settings) -> Iterator[tuple[Mailbox, Api]]:
    """A mail server, and a service that sends by it."""
    with Mailbox().open() as mailbox, Api(create_app(mailing(here, mailbox.port))) as api:
        yield mailbox, api


NUMBERS = count(1)


@pytest.fixture
def mailbox(empty: None, service: tuple[Mailbox, Api], engine: Engine) -> Iterator[Mailbox]:
    mailbox, _ = service
    with engine.begin() as connection:  # the last mail of the test before is struck off a second time in a moment
        connection.execute(text("SELECT setval('pgqueuer_id_seq', :first)"), {"first": next(NUMBERS) * 1000})
    mailbox.taken.clear()
    yield mailbox
    mailbox.replies.clear()
    queue_is_done(engine)  # what is on its way would come to the next test


@pytest.fixture
def api(mailbox: Mailbox, service: tuple[Mailbox, Api]) -> Api:
    return service[1]


def queue_is_done(engine: Engine) -> None:
    """Wait until no mail waits and none is on its way."""

    def waiting() -> Any:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM pgqueuer WHERE status <> 'failed'"))

    until(lambda: waiting() == 0)


def token_in(message: Any) -> str:
    """The token of the link in a mail."""
    (found,) = re.findall(rf"^{APP}/[a-z-]+#([\w-]{{43}})$", plain(message), re.MULTILINE)
    assert f'<a href="{APP}/' in html(message)
    assert f"#{found}</a>" in html(message)
    return str(found)


def test_an_email_is_verified_by_the_link_that_is_mailed_to_it(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    assert ada.get("/user/me/email/").json() == {"email": "ada@example.com", "verified_at": None}
    assert ada.post("/user/me/email/verification/").status_code == 202
    (message,) = mailbox.wait()
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Verify your email for Pamps")
    assert plain(message).startswith("Hello ada,\n\nplease verify that this email is yours:\n\n")
    token = token_in(message)
    assert api.post("/email_verification", json={"token": token}).status_code == 204
    assert ada.get("/user/me/email/").json()["verified_at"].endswith("Z")
    assert problem(api.post("/email_verification", json={"token": token})) == (403, "link-invalid")
    assert problem(ada.post("/user/me/email/verification/")) == (409, "email-verified")


def test_a_password_is_reset_by_the_link_that_is_mailed(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = world.user("ada")
    signed_in = api.as_(world.sign_in(ada)[0])
    assert api.post("/password_reset", json={"email": "ADA@example.com"}).status_code == 202
    (message,) = mailbox.wait()
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Reset your password for Pamps")
    reset = {"token": token_in(message), "new_password": NEW}
    assert api.post("/password_reset/confirm", json=reset).status_code == 204
    assert mailbox.wait(2)[1]["Subject"] == "Your Pamps password was changed"
    assert problem(signed_in.get("/user/me/")) == (401, "session-ended")
    assert problem(api.post("/token", data={"username": "ada", "password": PASSWORD})) == (401, "wrong-credentials")
    token = api.post("/token", data={"username": "ada", "password": NEW}).json()["access_token"]
    assert api.as_(token).get("/user/me/email/").json()["verified_at"].endswith("Z")
    assert problem(api.post("/password_reset/confirm", json=reset)) == (403, "link-invalid")


def test_a_reset_takes_an_account_from_whoever_registered_with_the_email_of_another(
    api: Api, mailbox: Mailbox, world: World
) -> None:
    """All but the second factor, which a stolen mailbox shall not take away; an operator can."""
    eve = world.user("eve", email="ada@example.com")
    world.second_factor(eve)
    kept = [api.as_(token) for token in (world.sign_in(eve)[0], world.personal_token(eve))]
    assert api.post("/password_reset", json={"email": "ada@example.com"}).status_code == 202
    reset = {"token": token_in(mailbox.wait()[0]), "new_password": NEW}
    assert api.post("/password_reset/confirm", json=reset).status_code == 204
    assert [problem(signed_in.get("/user/me/")) for signed_in in kept] == [(401, "session-ended")] * 2
    assert problem(api.post("/token", data={"username": "eve", "password": PASSWORD})) == WRONG
    ada = {"username": "ada@example.com", "password": NEW}
    assert problem(api.post("/token", data=ada)) == (401, "code-needed")
    assert api.post("/token", data={**ada, "code": recovery_code(0)}).status_code == 200


def test_a_reset_lets_in_whom_wrong_guesses_hold_up(api: Api, mailbox: Mailbox, world: World) -> None:
    world.user("ada")
    for login in ("ada", "ada@example.com"):
        assert [wrong(api, login) for _ in range(6)] == [*[WRONG] * 5, EARLY]
    assert api.post("/password_reset", json={"email": "ada@example.com"}).status_code == 202
    for unfit in ("password1", "ada@example.com"):
        reset = {"token": token_in(mailbox.wait()[0]), "new_password": unfit}
        assert problem(api.post("/password_reset/confirm", json=reset)) == (422, "invalid-request")
    assert api.post("/password_reset/confirm", json={**reset, "new_password": NEW}).status_code == 204
    for login in ("ada", "ada@example.com"):
        assert api.post("/token", data={"username": login, "password": NEW}).status_code == 200


def test_a_reset_lets_in_its_owner_though_somebody_goes_on_guessing(api: Api, mailbox: Mailbox, world: World) -> None:
    world.user("ada")
    owner, guesser = at(api, HOME), at(api, FAR)
    assert owner.post("/password_reset", json={"email": "ada@example.com"}).status_code == 202
    reset = {"token": token_in(mailbox.wait()[0]), "new_password": NEW}
    assert owner.post("/password_reset/confirm", json=reset).status_code == 204
    assert [wrong(guesser) for _ in range(6)] == [*[WRONG] * 5, EARLY]
    assert problem(sign_in(at(api, "198.51.100.1"), "ada", NEW)) == EARLY
    assert sign_in(owner, "ada", NEW).status_code == 200


def test_asking_for_a_reset_does_not_tell_whether_there_is_such_an_email(
    api: Api, mailbox: Mailbox, world: World, engine: Engine
) -> None:
    world.user("ada")
    nobody, ada = (api.post("/password_reset", json={"email": f"{name}@example.com"}) for name in ("bob", "ada"))
    assert (nobody.status_code, nobody.content) == (ada.status_code, ada.content) == (202, b"{}")
    assert [name for name in ada.headers if nobody.headers[name] != ada.headers[name]] == ["x-request-id"]
    assert mailbox.wait()[0]["To"] == "ada@example.com"
    assert mailbox.tried[-1] == "ada@example.com"


def test_a_new_link_takes_the_place_of_the_one_before(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    tokens = []
    for nth in (1, 2):
        assert ada.post("/user/me/email/verification/").status_code == 202
        tokens.append(token_in(mailbox.wait(nth)[-1]))
    first, second = tokens
    assert problem(api.post("/email_verification", json={"token": first})) == (403, "link-invalid")
    assert api.post("/email_verification", json={"token": second}).status_code == 204


def test_one_kind_of_link_does_not_do_for_the_other(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    ada.post("/user/me/email/verification/")
    token = token_in(mailbox.wait()[0])
    reset = {"token": token, "new_password": NEW}
    assert problem(api.post("/password_reset/confirm", json=reset)) == (403, "link-invalid")
    api.post("/password_reset", json={"email": "ada@example.com"})
    token = token_in(mailbox.wait(2)[1])
    assert problem(api.post("/email_verification", json={"token": token})) == (403, "link-invalid")


def test_a_link_is_good_for_so_long(api: Api, mailbox: Mailbox, world: World, engine: Engine) -> None:
    world.user("ada")
    api.post("/password_reset", json={"email": "ada@example.com"})
    reset = {"token": token_in(mailbox.wait()[0]), "new_password": NEW}
    queue_is_done(engine)
    with engine.begin() as connection:
        lasts = connection.scalar(text("SELECT extract(minutes FROM expires_at - clock_timestamp())::int FROM link"))
        assert lasts in (59, 60)
        connection.execute(text("UPDATE link SET expires_at = clock_timestamp() - interval '1 second'"))
    with unchanged(engine):
        assert problem(api.post("/password_reset/confirm", json=reset)) == (403, "link-invalid")


def test_a_link_is_not_good_for_another_email(api: Api, mailbox: Mailbox, world: World, engine: Engine) -> None:
    """Whoever changes an email because its mailbox is in wrong hands is safe from what lies in it."""
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    api.post("/password_reset", json={"email": "ada@example.com"})
    ada.post("/user/me/email/verification/")
    tokens = {message["Subject"].split()[0]: token_in(message) for message in mailbox.wait(2)}
    assert ada.patch("/user/me/", json={"email": "new@example.com"}).status_code == 200
    mailbox.wait(3)
    queue_is_done(engine)
    reset = {"token": tokens["Reset"], "new_password": NEW}
    with unchanged(engine):
        assert problem(api.post("/password_reset/confirm", json=reset)) == (403, "link-invalid")
        assert problem(api.post("/email_verification", json={"token": tokens["Verify"]})) == (403, "link-invalid")


def test_nobody_can_be_flooded_and_nobody_is_without_a_link(
    api: Api, mailbox: Mailbox, world: World, engine: Engine
) -> None:
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    for _ in range(3):
        assert ada.post("/user/me/email/verification/").status_code == 202
    refused = ada.post("/user/me/email/verification/")
    assert problem(refused) == (429, "mailed-already")
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    mailbox.wait(3)
    for _ in range(5):
        assert api.post("/password_reset", json={"email": "ada@example.com"}).status_code == 202
    queue_is_done(engine)
    mailbox.wait(6)
    with engine.begin() as connection:
        connection.execute(text("UPDATE link SET spaced_until = spaced_until - interval '1 hour'"))
    latest = {"token": token_in(mailbox.taken[-1]), "new_password": NEW}
    assert ada.post("/user/me/email/verification/").status_code == 202
    mailbox.wait(7)
    assert api.post("/password_reset/confirm", json=latest).status_code == 204


def test_a_changed_email_is_not_verified_and_the_old_one_is_told(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = world.user("ada")
    signed_in = api.as_(world.sign_in(ada)[0])
    signed_in.post("/user/me/email/verification/")
    api.post("/email_verification", json={"token": token_in(mailbox.wait()[0])})
    for same in ({"email": "ada@example.com"}, {"name": "Ada"}):
        assert signed_in.patch("/user/me/", json=same).status_code == 200
    assert signed_in.get("/user/me/email/").json()["verified_at"]
    assert signed_in.patch("/user/me/", json={"email": "lovelace@example.com"}, headers=PORTUGUESE).status_code == 200
    told = mailbox.wait(2)[1]
    assert (told["To"], told["Subject"]) == ("ada@example.com", "O e-mail da sua conta no Pamps foi alterado")
    assert "lovelace" not in plain(told) + html(told)
    assert signed_in.get("/user/me/email/").json() == {"email": "lovelace@example.com", "verified_at": None}


def test_of_two_changes_of_an_email_at_once_each_tells_the_one_before(
    api: Api, mailbox: Mailbox, world: World, engine: Engine
) -> None:
    ada = world.user("ada", email="a@example.com")
    signed_in = [api.as_(world.sign_in(ada)[0]) for _ in range(2)]
    with locked(engine, NO_USE_OF_USER_1) as lock:
        for one, email in zip(signed_in, ("b@example.com", "c@example.com"), strict=True):
            lock.hold(one.patch, "/user/me/", json={"email": email})
    told = {message["To"] for message in mailbox.wait(2)}
    now = signed_in[0].get("/user/me/email/").json()["email"]
    assert sorted([*told, now]) == ["a@example.com", "b@example.com", "c@example.com"]


def test_a_changed_password_is_told(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert ada.put("/user/me/password/", json=change, headers=PORTUGUESE).status_code == 204
    (told,) = mailbox.wait()
    assert (told["To"], told["Subject"]) == ("ada@example.com", "Sua senha no Pamps foi alterada")


def test_a_second_factor_that_was_turned_off_is_told(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = world.user("ada")
    world.second_factor(ada)
    signed_in = api.as_(world.sign_in(ada)[0])
    both = {"password": PASSWORD, "code": recovery_code(0)}
    answer = signed_in.request("DELETE", "/user/me/two-factor/", json=both, headers=PORTUGUESE)
    assert answer.status_code == 204
    (told,) = mailbox.wait()
    assert (told["To"], told["Subject"]) == ("ada@example.com", "O segundo fator da sua conta no Pamps foi desativado")


def test_a_sign_in_from_a_network_that_is_new_is_told(api: Api, mailbox: Mailbox, world: World, engine: Engine) -> None:
    """The first after registering is not, and neither is the next from there."""
    world.user("ada")
    form = {"username": "ada", "password": PASSWORD}
    browser = {"User-Agent": "Browser <script>alert(1)</script>", **PORTUGUESE}

    def sign_in() -> None:
        assert api.post("/token", data=form, headers=browser).status_code == 200

    sign_in()
    sign_in()
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pgqueuer_log")) == 0
        connection.execute(text("UPDATE device SET network = '203.0.113.0/24'"))
    sign_in()
    sign_in()
    (told,) = mailbox.wait()
    queue_is_done(engine)
    assert mailbox.taken == [told]
    assert (told["To"], told["Subject"]) == ("ada@example.com", "Novo acesso à sua conta no Pamps")
    assert "\nEndereço: testclient\nPrograma: Browser <script>alert(1)</script>\n" in plain(told)
    assert "Programa: Browser &lt;script&gt;alert(1)&lt;/script&gt;" in html(told)
    assert "<script" not in html(told)


def test_a_first_sign_in_is_told_where_the_account_is_not_new(
    api: Api, mailbox: Mailbox, world: World, engine: Engine
) -> None:
    """Else whoever has not signed in for so long that no network of theirs is known any more would not learn of it."""
    world.user("ada", created_at=datetime.now(UTC) - timedelta(minutes=61))
    assert api.post("/token", data={"username": "ada", "password": PASSWORD}).status_code == 200
    assert mailbox.wait()[0]["Subject"] == "A new sign-in to your Pamps account"


def test_a_mail_goes_to_a_domain_of_other_letters_in_ascii(api: Api, mailbox: Mailbox, world: World) -> None:
    ada = api.as_(world.sign_in(world.user("ada", email="ada@bücher.example.com"))[0])
    assert ada.post("/user/me/email/verification/").status_code == 202
    assert mailbox.wait()[0]["To"] == "ada@xn--bcher-kva.example.com"


def test_neither_the_queue_nor_a_table_holds_a_token(api: Api, mailbox: Mailbox, world: World, engine: Engine) -> None:
    mailbox.replies = ["550 5.1.1 no such user"]
    ada = api.as_(world.sign_in(world.user("ada"))[0])
    ada.post("/user/me/email/verification/")
    ada.post("/user/me/email/verification/")
    token = token_in(mailbox.wait()[0])
    queue_is_done(engine)
    with engine.connect() as connection:
        kept = connection.scalars(text("SELECT payload FROM pgqueuer WHERE status = 'failed'")).all()
        assert len(kept) == 1
        everything = [
            str(connection.execute(text(f'SELECT t::text FROM "{name}" AS t')).all())
            for name in ("pgqueuer", "pgqueuer_log", "link", "user")
        ]
    assert b"ada@example.com" in bytes(kept[0])
    assert token not in str(everything) + str(kept)


def test_in_production_without_a_mail_server_what_needs_one_says_so(
    here: Settings, world: World, engine: Engine
) -> None:
    production = here.model_copy(update={"env": "production"})
    ada = world.user("ada")
    with Api(create_app(production)) as api:
        signed_in = api.as_(world.sign_in(ada)[0])
        with unchanged(engine):
            assert problem(api.post("/password_reset", json={"email": "ada@example.com"})) == (
                501,
                "mail-not-configured",
            )
            assert problem(signed_in.post("/user/me/email/verification/")) == (501, "mail-not-configured")
        assert signed_in.patch("/user/me/", json={"email": "new@example.com"}).status_code == 200
        change = {"current_password": PASSWORD, "new_password": NEW}
        assert signed_in.put("/user/me/password/", json=change).status_code == 204
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pgqueuer")) == 0
