"""The log of a real process: its form, what it tells of mistakes, and that nothing private is ever in it."""

import json
import logging
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psycopg2
import pyotp
import pytest
from asyncpg.exceptions._base import DataError
from httpx2 import Response
from sqlalchemy import create_engine

from pamps.logs import Lines, RequestLog, said, traced, without_private
from tests.commands import Commands
from tests.factories import PASSWORD
from tests.live import Connection
from tests.processes import STRONG_SECRET, Server, serving

EMAIL = "ada.lovelace@example.org"
OTHERS = ("lord.byron@example.org", "babbage@example.org")
WRONG = "wr0ng-but-nearly-right"
NEW = "n3w-and-much-better"
JUNK = "Zm9vYmFyYmF6cXV4-Zm9vYmFyYmF6cXV4-Zm9vYmFyYmF6cXV4"
LINK = "b3" * 20 + "xYz"
FORGED = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmVkLWJ5LW5vYm9keQ"
# A mail server that is not there: without any, in development, mails are written to the log, as they should be.
MAIL: dict[str, Any] = {
    **{"mail__host": "127.0.0.1", "mail__port": 1, "mail__tls": "none", "mail__sender": "pamps@example.com"},
    **{"mail__base_url": "https://app.example.com", "mail__retry_seconds": 0.1},
}
FORMATS: dict[str, dict[str, Any]] = {
    "text": {"env": "development"},
    "json": {"env": "production", "db__auto_migrate": "true", "security__secret_key": STRONG_SECRET},
}


@pytest.fixture
def pamps(migrated_database: Callable[[], str], tmp_path: Path) -> Commands:
    commands = Commands(migrated_database(), tmp_path)
    # A mistake of ours: rules that have no name in meanings.py, and an error whose DETAIL has the whole row in it.
    commands.sql("ALTER TABLE \"user\" ADD CONSTRAINT unforeseen CHECK (username <> 'unlucky')")
    commands.sql("CREATE UNIQUE INDEX unforeseen_too ON post (text)")
    return commands


class Tourist:
    """Goes everywhere, does everything wrong that can be, and remembers every secret that was sent or received."""

    def __init__(self, server: Server):
        self.server = server
        self.secrets = {EMAIL, *OTHERS, PASSWORD, WRONG, NEW, JUNK, LINK, FORGED, STRONG_SECRET}

    def go(self, method: str, path: str, status: int, token: str = "", **options: Any) -> Response:
        if token:
            options["headers"] = {"Authorization": f"Bearer {token}", **options.get("headers", {})}
        answer = self.server.request(method, path, **options)
        assert answer.status_code == status, (method, path, answer.text)
        return answer

    def signed_in(self, password: str) -> dict[str, str]:
        tokens = self.go("POST", "/token", 200, data={"username": EMAIL, "password": password}).json()
        return self.kept(tokens)

    def kept(self, tokens: dict[str, str]) -> dict[str, str]:
        self.secrets |= {tokens["access_token"], tokens["refresh_token"]}
        self.secrets |= {*tokens["access_token"].split(".")[1:]}
        return tokens

    def account(self) -> None:
        ada = {"email": EMAIL, "username": "ada", "password": PASSWORD}
        self.go("POST", "/user/", 201, json=ada)
        self.go("POST", "/user/", 409, json={**ada, "username": "other"})
        self.go("POST", "/user/", 422, json={**ada, "password": WRONG, "pasword": NEW})
        self.go("POST", "/user/", 422, json={**ada, "email": f"{JUNK} {EMAIL}"})
        self.go(
            "POST", "/user/", 400, content=f'{{"password": "{PASSWORD}', headers={"Content-Type": "application/json"}
        )
        self.go("POST", "/token", 401, data={"username": EMAIL, "password": WRONG})
        self.go("POST", "/token", 422, data={"username": EMAIL, "pass": WRONG})
        self.go("POST", "/token", 400, data={"username": EMAIL, "password": WRONG, "grant_type": JUNK})
        first = self.signed_in(PASSWORD)
        second = self.kept(
            self.go("POST", "/refresh_token", 200, json={"refresh_token": first["refresh_token"]}).json()
        )
        self.go("POST", "/refresh_token", 401, json={"refresh_token": first["refresh_token"]})
        self.go("GET", "/user/me/", 401, second["access_token"])
        third = self.signed_in(PASSWORD)["access_token"]
        self.go("PUT", "/user/me/password/", 204, third, json={"current_password": PASSWORD, "new_password": NEW})
        self.go("PATCH", "/user/me/", 200, third, json={"email": OTHERS[0]})
        self.go("PATCH", "/user/me/", 200, third, json={"email": EMAIL})
        self.go("POST", "/revoke_token", 200, data={"token": third})
        self.go("POST", "/revoke_token", 422, json={"tokn": third})

    def more_keys(self) -> None:
        owner = self.signed_in(NEW)["access_token"]
        made = self.go("POST", "/user/me/tokens/", 201, owner, json={"name": "script", "scopes": ["read"]}).json()[
            "token"
        ]
        self.secrets |= {made, made.split("_", 4)[4]}
        self.go("GET", "/user/me/", 200, made)
        self.go("POST", "/post/", 403, made, json={"text": "x"})
        self.go("GET", "/user/me/", 401, f"{made}x")
        secret = self.go("POST", "/user/me/two-factor/", 201, owner, json={"password": NEW}).json()["secret"]
        code = pyotp.TOTP(secret).now()
        self.go("POST", "/user/me/two-factor/confirm/", 422, owner, json={"code": code, "secret": secret})
        confirmed = self.go("POST", "/user/me/two-factor/confirm/", 200, owner, json={"code": code})
        recovery = confirmed.json()["recovery_codes"]
        self.secrets |= {secret, *recovery}
        self.go("POST", "/token", 401, data={"username": EMAIL, "password": NEW})
        self.go("POST", "/token", 401, data={"username": EMAIL, "password": NEW, "code": code})
        signed = self.go("POST", "/token", 200, data={"username": EMAIL, "password": NEW, "code": recovery[0]}).json()
        both = {"password": NEW, "code": recovery[1]}
        self.go("DELETE", "/user/me/two-factor/", 204, self.kept(signed)["access_token"], json=both)

    def odds_and_ends(self) -> None:
        self.go("POST", "/password_reset", 202, json={"email": EMAIL})
        self.go("POST", "/password_reset/confirm", 403, json={"token": LINK, "new_password": WRONG})
        self.go("POST", "/email_verification", 403, json={"token": LINK})
        token = self.signed_in(NEW)["access_token"]
        self.go("GET", f"/user/?q={EMAIL}", 200)
        self.go("GET", f"/post/?cursor={JUNK}&limit=1", 422)
        self.go("GET", f"/post/?token={token}", 200)
        self.go("GET", f"/user/{EMAIL}/", 422)
        self.go("GET", f"/reset/{JUNK}", 404)
        self.go("GET", f"/post/{JUNK}/", 422)
        for sent in (f"Bearer {JUNK}", f"Bearer {FORGED}", "Basic " + b64encode(f"ada:{WRONG}".encode()).decode()):
            self.go("GET", "/user/me/", 401, headers={"Authorization": sent})
        self.go("GET", "/user/me/", 200, token, headers={"Cookie": f"session={JUNK}", "X-Request-ID": EMAIL})
        self.go(
            "GET", "/post/", 200, headers={"Referer": f"https://x/?{JUNK}", "User-Agent": JUNK, "X-Request-ID": FORGED}
        )
        with Connection(int(self.server.url.rpartition(":")[2])) as client:
            client.send(f"GET /{JUNK} HTTP/9.9\r\nAuthorization: Bearer {token}\r\n")
            client.rest()

    def mistakes_of_ours(self) -> None:
        token = self.signed_in(NEW)["access_token"]
        unlucky = {"email": OTHERS[1], "username": "unlucky", "password": PASSWORD}
        self.go("POST", "/user/", 500, json=unlucky, headers={"X-Request-ID": "unlucky"})
        self.go("POST", "/post/", 201, token, json={"text": JUNK})
        answer = self.go("POST", "/post/", 500, token, json={"text": JUNK}, headers={"X-Request-ID": "twice"})
        assert answer.headers["x-request-id"] == "twice"
        told = "Something went wrong on our side"
        assert answer.json() == {
            **{"type": "urn:pamps:problem:internal-error", "title": told, "status": 500, "detail": told},
            "code": "internal-error",
        }
        self.go("DELETE", "/user/me/", 403, token, json={"password": WRONG})
        self.go("DELETE", "/user/me/", 204, token, json={"password": NEW})


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_private_is_ever_in_the_log(pamps: Commands, format: str) -> None:
    env = pamps.environment(**FORMATS[format], **MAIL, log__level="debug")
    with serving(pamps.folder, env) as server:
        tourist = Tourist(server)
        tourist.account()
        tourist.more_keys()
        tourist.odds_and_ends()
        server.wait_until(lambda: "is tried again" in server.output)
        tourist.mistakes_of_ours()
        server.expected = {f"a mistake of ours: {kind}ViolationError" for kind in ("Check", "Unique")}
        assert server.stop() == 0
    for secret in tourist.secrets:
        assert secret not in server.output, f"the log has {secret!r} in it"
    assert server.output.count("a mistake of ours: CheckViolationError") == 1
    assert server.output.count("a mistake of ours: UniqueViolationError") == 1
    assert server.output.count("violates check constraint") == 1
    assert server.output.count("DETAIL") == 0
    if format == "json":
        told = [json.loads(line) for line in server.output.splitlines()]
        assert [line["id"] for line in told if "exception" in line] == ["unlucky", "twice"]
        assert all("asyncpg.exceptions" in line["exception"] for line in told if "exception" in line)
        assert {line["level"] for line in told} <= {"debug", "info", "warning", "error"}


def test_lines_of_all_kinds_are_of_one_form(new_database: Callable[[], str], tmp_path: Path) -> None:
    commands = Commands(new_database(), tmp_path)
    env = commands.environment(**FORMATS["json"])
    with serving(tmp_path, env, "--workers", "2") as server:
        assert server.status("/post/") == 200
        assert server.stop() == 0
    told = [json.loads(line) for line in server.output.splitlines()]
    assert {"alembic.runtime.migration", "uvicorn.error", "pamps", None} == {line.get("logger") for line in told}
    assert any(line["event"].startswith("Running upgrade") for line in told)
    assert any(line.get("route") == "/post/" for line in told)


def test_what_a_request_makes_others_say_has_its_id(pamps: Commands) -> None:
    env = pamps.environment(**FORMATS["json"], db__statement_timeout="0.2")
    with serving(pamps.folder, env) as server, psycopg2.connect(pamps.uri) as held:
        held.cursor().execute("LOCK TABLE post")
        assert server.request("GET", "/post/", headers={"X-Request-ID": "slow"}).status_code == 503
        told = [json.loads(line) for line in server.output.splitlines()]
        held.rollback()
    ((level, event),) = [
        (line["level"], line["event"]) for line in told if line.get("id") == "slow" and "logger" in line
    ]
    assert (level, event) == (
        "warning",
        "database-busy: canceling statement due to statement timeout (SQLSTATE 57014)",
    )


def test_the_log_is_for_people_in_development(pamps: Commands) -> None:
    with serving(pamps.folder, pamps.environment()) as server:
        server.request("GET", "/post/", headers={"X-Request-ID": "mine"})
        server.wait_until(lambda: "id=mine method=GET route=/post/ status=200" in server.output)
    assert "\x1b[" not in server.output  # colours are for terminals


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("to ada@example.com, please", "to (email), please"),
        (
            "postgresql://ada:hush@db.example.com:5432/pamps is away",
            "postgresql://(uri)@db.example.com:5432/pamps is away",
        ),
        (f"Authorization: Bearer {JUNK}", "Authorization: (token)"),
        (f"got {FORGED}.", "got (token)."),
        ("pamps_12_34_rw_AbCdEf is used up", "(token) is used up"),
        (f"key {JUNK}", "key (secret)"),
        ("/srv/pamps/lib/python3.11/site-packages/pamps/db.py", "/srv/pamps/lib/python3.11/site-packages/pamps/db.py"),
        ("2026_11_22_first_tables", "2026_11_22_first_tables"),
    ],
)
def test_what_looks_private_is_taken_out_of_texts(text: str, left: str) -> None:
    assert without_private(text) == left


def test_a_traceback_has_all_errors_and_no_values(server_uri: str) -> None:
    engine = create_engine(server_uri.replace("postgresql://", "postgresql+psycopg2://"))

    def ask() -> None:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT CAST(%s AS int)", (WRONG,))
        except Exception as error:
            raise ExceptionGroup("in vain", [ValueError(f"no {EMAIL}"), KeyError("name")]) from error

    with pytest.raises(ExceptionGroup) as caught:
        ask()
    engine.dispose()
    lines = traced(caught.value)
    text = "\n".join(lines)
    assert WRONG not in text
    assert EMAIL not in text
    assert "sqlalchemy.exc.DataError: what it says may quote what was sent (SQLSTATE 22P02)" in lines
    assert lines[-3:] == [
        "ExceptionGroup: in vain (2 sub-exceptions)",
        "  | ValueError: no (email)",
        "  | KeyError: 'name'",
    ]
    assert text.index("SQLSTATE") < text.index("and then:") < text.index("in vain")
    assert text.count(f'File "{__file__}"') == 3  # where it was raised, and twice on the way


def test_what_an_error_says_is_kept_where_it_quotes_nothing() -> None:
    assert said(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_among_what_a_line_is_about_quotes_nothing(as_json: bool) -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "it failed: %s", (asyncpg.DataError("invalid: hush"),), None)
    assert "hush" not in Lines(as_json).format(record)


def test_what_asyncpg_can_not_send_is_not_quoted() -> None:
    assert "hush" not in said(DataError("invalid input for query argument $1: 'hush'"))


def test_a_line_that_goes_out_in_parts_goes_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """As into a pipe that is nearly full."""
    ours, theirs = os.pipe()
    monkeypatch.setattr("pamps.logs.STDERR", theirs)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, text[:7]))
    log = RequestLog(json=True)
    log.lines = [b"a line of the log", b"and another"]
    log.write()
    monkeypatch.undo()
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        assert file.read() == b"a line of the log\nand another\n"
