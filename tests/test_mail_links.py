"""One link of a mail, brought by several at the very same moment: one wins, nothing is half done."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx2
import pytest

from tests.factories import PASSWORD
from tests.mailbox import Mailbox
from tests.mailing import Place, ask
from tests.processes import DEADLINE, Server, until
from tests.test_mail import token_in

pytest_plugins = "tests.mail_fixtures"

AT_ONCE, ROUNDS = 8, 5
UNLIMITED = {"limits__sign_in": ""}  # how many may try is another matter
WON = (204, None)
LOST = (403, "link-invalid")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    with mailbox.open():
        yield mailbox


def brought(server: Server, path: str, bodies: list[dict[str, str]]) -> list[tuple[int, str | None]]:
    """What each is answered, by status and code, when all of them are sent at once, on connections that stand."""
    start = Barrier(len(bodies))

    def bring(body: dict[str, str]) -> tuple[int, str | None]:
        with httpx2.Client(base_url=server.url, timeout=DEADLINE, verify=False) as client:  # no TLS here
            assert client.get("/livez").status_code == 200
            start.wait()
            answer = client.post(path, json=body)
        return answer.status_code, answer.json()["code"] if answer.content else None

    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(bring, bodies))


def signs_in(server: Server, password: str) -> bool:
    form: dict[str, Any] = {"username": "ada", "password": password}
    return server.request("POST", "/token", data=form).status_code == 200


def test_of_many_who_bring_one_link_for_a_new_password_one_sets_theirs(place: Place, mailbox: Mailbox) -> None:
    with place.serving(mailbox, "--workers", "2", **UNLIMITED) as server:
        server.register("ada")
        known, mailed = PASSWORD, 0
        for number in range(ROUNDS):
            signed_in = server.request("POST", "/token", data={"username": "ada", "password": known}).json()
            assert server.request("POST", "/password_reset", json={"email": "ada@example.com"}).status_code == 202
            token = token_in(mailbox.wait(mailed + 1)[-1])
            passwords = [f"new password {number} of {one}" for one in range(AT_ONCE)]
            bodies = [{"token": token, "new_password": password} for password in passwords]
            answers = brought(server, "/password_reset/confirm", bodies)
            assert Counter(answers) == {WON: 1, LOST: AT_ONCE - 1}
            former, known = known, passwords[answers.index(WON)]
            assert [signs_in(server, password) for password in (former, known)] == [False, True]
            ended = {"Authorization": f"Bearer {signed_in['access_token']}"}
            assert server.request("GET", "/user/me/", headers=ended).status_code == 401
            mailed += 2
            assert mailbox.wait(mailed)[-1]["Subject"] == "Your Pamps password was changed"
            until(lambda: place.jobs() == [])


def test_of_many_who_bring_one_link_to_verify_an_email_one_does(place: Place, mailbox: Mailbox) -> None:
    with place.serving(mailbox, "--workers", "2", **UNLIMITED) as server:
        for number in range(ROUNDS):
            headers = server.register(f"ada{number}")
            ask(server, headers)
            token = token_in(mailbox.wait(number + 1)[-1])
            assert server.request("GET", "/user/me/email/", headers=headers).json()["verified_at"] is None
            answers = brought(server, "/email_verification", [{"token": token}] * AT_ONCE)
            assert Counter(answers) == {WON: 1, LOST: AT_ONCE - 1}
            assert server.request("GET", "/user/me/email/", headers=headers).json()["verified_at"]
        assert place.sql("SELECT count(*) FROM link WHERE token_hash IS NOT NULL") == [(0,)]


def test_a_reset_and_a_change_of_email_at_once_leave_one_of_both_whole(place: Place, mailbox: Mailbox) -> None:
    """Whoever changes the email is safe from a link to the old one: the reset was before, or is not at all."""
    with place.serving(mailbox, "--workers", "2", **UNLIMITED) as server, ThreadPoolExecutor(1) as thread:
        for number in range(ROUNDS):
            headers = server.register(f"ada{number}")
            email = {"email": f"ada{number}@example.com"}
            mails = len(mailbox.taken)
            assert server.request("POST", "/password_reset", json=email).status_code == 202
            body = {"token": token_in(mailbox.wait(mails + 1)[-1]), "new_password": "another password"}
            changed = thread.submit(
                server.request, "PATCH", "/user/me/", json={"email": f"new{number}@example.com"}, headers=headers
            )
            (reset,) = brought(server, "/password_reset/confirm", [body])
            form = {"username": f"ada{number}", "password": "another password"}
            status = changed.result(DEADLINE).status_code
            assert (reset, status) in ((WON, 200), (WON, 401), (LOST, 200))
            assert (server.request("POST", "/token", data=form).status_code == 200) == (reset == WON)
            until(lambda: place.jobs() == [])
