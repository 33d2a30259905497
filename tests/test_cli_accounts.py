"""`pamps adduser`, `create-user`, `passwd` and `user-list`, run as commands."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime

import pytest

from pamps.commands import accounts
from pamps.commands.ready import connected
from pamps.config import Settings
from pamps.errors import InvalidRequest
from pamps.models import shape
from pamps.passwords import Passwords
from tests.commands import Commands
from tests.factories import PASSWORD
from tests.processes import FROM_SOURCE
from tests.terminal import terminal

pytest_plugins = "tests.command_fixtures"

A_USERNAME = f"should be {shape.A_USERNAME}"


@pytest.fixture(scope="module")
def passwords(settings: Settings) -> Passwords:
    return Passwords(settings.security)


def stored_hash(pamps: Commands, username: str) -> str:
    return str(pamps.sql('SELECT password_hash FROM "user" WHERE username = %s', username)[0][0])


def test_adduser_registers_somebody_with_the_password_from_standard_input(
    pamps: Commands, passwords: Passwords
) -> None:
    profile = ("--name", "Ada Lovelace", "--bio", "Poetry.", "--avatar", "https://example.com/ada.png")
    said = pamps("adduser", "ada@example.com", "Ada", *profile, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert said == "Added user 1: Ada, ada@example.com\n"
    assert pamps.sql('SELECT id, email, username, name, bio, avatar FROM "user"') == [
        (1, "ada@example.com", "Ada", "Ada Lovelace", "Poetry.", "https://example.com/ada.png")
    ]
    hashed = stored_hash(pamps, "Ada")
    assert hashed.startswith("$argon2id$")
    assert passwords.matches(PASSWORD, hashed)


def test_the_password_may_be_the_third_word_and_create_user_the_first(pamps: Commands, passwords: Passwords) -> None:
    assert pamps("create-user", "bob@example.com", "bob", PASSWORD) == "Added user 1: bob, bob@example.com\n"
    assert passwords.matches(PASSWORD, stored_hash(pamps, "bob"))


def test_the_help_says_that_a_password_in_the_command_line_is_seen(pamps: Commands) -> None:
    assert "it shows in the shell's history" in " ".join(pamps("adduser", "--help").replace("│", " ").split())


def test_a_password_is_asked_for_twice_and_never_shown(pamps: Commands, passwords: Passwords) -> None:
    with terminal("adduser", "ada@example.com", "ada", cwd=pamps.folder, env=pamps.environment()) as there:
        there.shows("Password: ")
        there.type(f"{PASSWORD}\n")
        there.shows("Once more: ")
        there.type(f"{PASSWORD}\n")
        there.shows("Added user 1: ada, ada@example.com")
        assert there.end() == 0
    assert PASSWORD not in there.screen
    assert passwords.matches(PASSWORD, stored_hash(pamps, "ada"))


def test_two_different_answers_are_a_red_line_and_nobody_is_added(pamps: Commands) -> None:
    with terminal("adduser", "ada@example.com", "ada", cwd=pamps.folder, env=pamps.environment()) as there:
        there.shows("Password: ")
        there.type(f"{PASSWORD}\n")
        there.shows("Once more: ")
        there.type("correct house battery\n")
        there.shows("\x1b[31mthe two passwords are not the same; nothing was changed\x1b[0m\n")
        assert there.end() == 1
    assert pamps.sql('SELECT id FROM "user"') == []


@pytest.mark.parametrize(("key", "code", "said"), [("\x03", 130, ""), ("\x04", 1, "nothing was answered")])
def test_a_question_may_be_left_without_an_answer(pamps: Commands, key: str, code: int, said: str) -> None:
    with terminal("passwd", "ada", cwd=pamps.folder, env=pamps.environment()) as there:
        there.shows("Password: ")
        assert there.end_with(key) == code
    assert said in there.screen[there.seen :]
    assert there.complaints == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ada@example.com", "1234", PASSWORD), f"username: {A_USERNAME}"),
        (("ada@example.com", "Timeline", PASSWORD), "That username is reserved"),
        (("ada@example.com", "U1", PASSWORD), "That username is taken"),
        (("U1@example.com", "ada", PASSWORD), "There is an account with that email"),
        (("ada@example.com", "ada"), "there is no terminal to ask for the password: send it with --password-stdin"),
        (("ada@example.com", "ada", "--password-stdin"), "no password came on standard input"),
    ],
)
def test_what_is_wrong_with_a_new_user_is_said_in_one_line(
    pamps: Commands, arguments: tuple[str, ...], said: str
) -> None:
    pamps.add_users(1)
    assert pamps.refused("adduser", *arguments) == said
    assert pamps.sql('SELECT username FROM "user"') == [("u1",)]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("email", "nonsense", "value is not a valid email address: An email address must have an @-sign."),
        ("username", "a b", A_USERNAME),
        ("username", "a" * 31, "string should have at most 30 characters"),
        ("name", " ", "should be a text that is not blank and has no NUL in it"),
        ("bio", "b" * 501, "string should have at most 500 characters"),
        ("avatar", "me.png", "should be the address of a picture, http://... or https://..."),
    ],
)
def test_the_field_that_is_wrong_is_named(field: str, value: str, said: str) -> None:
    fields: dict[str, str | None] = {"email": "ada@example.com", "username": "ada", field: value}
    with pytest.raises(InvalidRequest) as refused:
        accounts.profile(**fields)
    assert refused.value.detail == f"{field}: {said}"


def test_nobody_is_asked_for_a_password_when_the_rest_is_wrong(pamps: Commands) -> None:
    assert pamps.refused("adduser", "nonsense", "ada").startswith("email: ")


def test_a_password_comes_one_way_only(pamps: Commands) -> None:
    arguments = ("adduser", "ada@example.com", "ada", PASSWORD, "--password-stdin")
    assert pamps.refused(*arguments, stdin=PASSWORD, code=2) == (
        "Invalid value for --password-stdin: the password is on the command line already "
        "(pamps adduser --help tells more)"
    )


def test_passwd_sets_a_password_and_ends_the_sessions_of_that_user_alone(pamps: Commands, passwords: Passwords) -> None:
    pamps.add_users(2)
    pamps.sql(
        """INSERT INTO session (user_id, expires_at, family_hash, token_hash)
        SELECT 1 + n %% 2, now() + '1 day'::interval, n::text::bytea, '' FROM generate_series(1, 4) AS n"""
    )
    pamps.sql(
        "INSERT INTO attempt (key, failures) SELECT attempt_key('login', n), 9 FROM unnest(%s) AS n", ["u1", "u2"]
    )
    said = pamps("passwd", "U1", "--password-stdin", stdin="staple staple\r\n")
    assert said == "U1 has a new password and is signed out everywhere.\n"
    assert passwords.matches("staple staple", stored_hash(pamps, "u1"))
    assert stored_hash(pamps, "u2") == ""
    assert pamps.sql("SELECT DISTINCT user_id FROM session") == [(2,)]
    # What was guessed is forgotten as well: whoever was held up by it has asked for the new one.
    assert pamps.sql("SELECT key = attempt_key('login', 'u2') FROM attempt") == [(True,)]


def test_passwd_asks_at_a_terminal(pamps: Commands, passwords: Passwords) -> None:
    pamps.add_users(1)
    with terminal("passwd", "u1", cwd=pamps.folder, env=pamps.environment()) as there:
        for question in ("Password: ", "Once more: "):
            there.shows(question)
            there.type(f"{PASSWORD}\n")
        assert there.end() == 0
    assert passwords.matches(PASSWORD, stored_hash(pamps, "u1"))


def test_two_factor_off_is_for_whoever_has_lost_theirs(pamps: Commands) -> None:
    pamps.add_users(3)
    pamps.sql("INSERT INTO two_factor (user_id, secret, enabled_at) VALUES (1, 'x', now()), (2, 'y', now())")
    assert pamps("two-factor-off", "U1") == "U1 signs in with the password alone.\n"
    assert pamps.sql("SELECT user_id FROM two_factor") == [(2,)]
    assert pamps.refused("two-factor-off", "u3") == "There is no second factor"
    assert pamps.refused("two-factor-off", "nobody") == "there is no user nobody"
    assert pamps.sql("SELECT user_id FROM two_factor") == [(2,)]


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("nobody", PASSWORD, "there is no user nobody"),
        ("u1", "short", "password: string should have at least 8 characters"),
        ("u1", "Password1", "password: should not be one of the 10,000 most common passwords"),
        (
            "u1",
            "U1@Example.com",
            "password: should not be the username or the email, or what is before its @",
        ),
    ],
)
def test_passwd_changes_nothing_when_something_is_wrong(
    pamps: Commands, username: str, password: str, said: str
) -> None:
    pamps.add_users(1)
    assert pamps.refused("passwd", username, "--password-stdin", stdin=password) == said
    assert stored_hash(pamps, "u1") == ""


def test_a_password_that_is_no_text_is_refused(pamps: Commands) -> None:
    command = [*FROM_SOURCE, "passwd", "u1", "--password-stdin"]
    done = subprocess.run(command, input=b"\xff" * 8, capture_output=True, env=pamps.environment(), check=False)
    assert (done.returncode, done.stderr) == (1, b"the password on standard input is not UTF-8\n")


def role_of(pamps: Commands, username: str) -> str:
    return str(pamps.sql('SELECT role FROM "user" WHERE username = %s', username)[0][0])


def test_adduser_makes_an_admin_when_told(pamps: Commands) -> None:
    said = pamps("adduser", "--admin", "ada@example.com", "ada", "--password-stdin", stdin=PASSWORD)
    assert said == "Added admin 1: ada, ada@example.com\n"
    assert role_of(pamps, "ada") == "admin"


def test_an_admin_is_one_from_the_first(pamps: Commands) -> None:
    """The row is the first of its table and was never updated: there was no moment when they were a plain user."""
    pamps.sql('TRUNCATE "user" CASCADE')
    pamps("adduser", "--admin", "ada@example.com", "ada", "--password-stdin", stdin=PASSWORD)
    assert pamps.sql('SELECT role, ctid::text FROM "user"') == [("admin", "(0,1)")]


def test_role_gives_a_role_and_the_last_admin_keeps_theirs(pamps: Commands) -> None:
    pamps.add_users(2)
    assert pamps("role", "U1", "admin") == "U1 has the role admin.\n"
    assert pamps("role", "u2", "moderator") == "u2 has the role moderator.\n"
    assert (role_of(pamps, "u1"), role_of(pamps, "u2")) == ("admin", "moderator")
    last = "That is the last admin; make somebody else one first"
    assert pamps.refused("role", "u1", "user") == last
    assert pamps.refused("suspend", "u1", "--reason", "Spam.") == last
    assert pamps.refused("role", "nobody", "user") == "there is no user nobody"
    assert pamps.refused("role", "u2", "owner").startswith("role: ")
    assert (role_of(pamps, "u1"), role_of(pamps, "u2")) == ("admin", "moderator")


def test_suspend_hides_somebody_and_unsuspend_lets_them_back(pamps: Commands) -> None:
    pamps.add_users(2)
    pamps.sql("INSERT INTO post (user_id, text) VALUES (1, 'one'), (2, 'two')")
    assert pamps("suspend", "U1", "--reason", "Spam.") == "U1 is suspended.\n"
    assert pamps.sql("SELECT user_id FROM post WHERE hidden") == [(1,)]
    assert pamps.sql('SELECT suspended_reason FROM "user" WHERE suspended_at IS NOT NULL') == [("Spam.",)]
    assert pamps("unsuspend", "u1") == "u1 is back.\n"
    assert pamps.sql("SELECT user_id FROM post WHERE hidden") == []
    for command in (("suspend", "nobody", "--reason", "Spam."), ("unsuspend", "nobody")):
        assert pamps.refused(*command) == "there is no user nobody"
    assert pamps.refused("suspend", "u1", "--reason", " ").startswith("reason: ")


def test_user_list_has_a_line_for_everybody_the_newest_first(pamps: Commands) -> None:
    pamps.add_users(2)
    pamps.sql("""UPDATE "user" SET name = E'Zoë\\tÁvila\\n', created_at = '2026-01-31 12:00Z' WHERE id = 1""")
    pamps.sql("UPDATE \"user\" SET created_at = '2026-02-28 12:00Z' WHERE id = 2")
    pamps.sql("INSERT INTO post (user_id, text) VALUES (1, 'one'), (1, 'two')")
    pamps.sql("INSERT INTO social (follower_id, followed_id) VALUES (2, 1)")
    assert pamps("user-list") == (
        "id\tusername\tname\tsince\tposts\tfollowers\n2\tu2\t\t2026-02-28\t0\t0\n1\tu1\tZoë Ávila\t2026-01-31\t2\t1\n"
    )


def test_user_list_finds_the_beginning_of_a_name(pamps: Commands) -> None:
    pamps.add_users(12)
    pamps.sql("UPDATE \"user\" SET name = 'Úrsula' WHERE id = 5")
    pamps.sql("UPDATE \"user\" SET name = 'Ada' WHERE id = 6")
    lines = pamps("user-list", "--filter", "URS").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id", "5"]
    lines = pamps("user-list", "-f", "u1").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id", "12", "11", "10", "1"]
    assert len(pamps("user-list", "-f", "nobody").splitlines()) == 1


def test_user_list_goes_through_all_pages(pamps: Commands) -> None:
    pamps.add_users(250)
    assert [json.loads(line)["id"] for line in pamps("user-list", "--json").splitlines()] == list(range(250, 0, -1))


@pytest.mark.parametrize(("limit", "expected"), [(1, [1]), (100, [100]), (101, [100, 1]), (1000, [100, 100, 50])])
def test_user_list_reads_no_more_than_the_limit(
    pamps: Commands, settings: Settings, limit: int, expected: list[int]
) -> None:
    async def sizes() -> list[int]:
        async with connected(pamps.uri, settings) as db:
            return [len(page) async for page in accounts.pages(db, "", limit)]

    pamps.add_users(250)
    assert asyncio.run(sizes()) == expected


def test_a_user_in_json_is_as_the_api_has_it(pamps: Commands) -> None:
    assert pamps("user-list", "--json") == ""
    pamps.add_users(1)
    pamps.sql("UPDATE \"user\" SET name = 'Zoë', created_at = '2026-01-31 12:00Z'")
    assert json.loads(pamps("user-list", "--json")) == {
        "id": 1,
        "username": "u1",
        "name": "Zoë",
        "avatar": None,
        "bio": None,
        "created_at": "2026-01-31T12:00:00.000000Z",
        "post_count": 0,
        "follower_count": 0,
        "following_count": 0,
        "is_following": None,
        "is_followed_by": None,
    }


def test_at_a_terminal_users_are_a_table_and_a_name_cannot_play_with_it(pamps: Commands) -> None:
    pamps.add_users(101)
    pamps.sql("UPDATE \"user\" SET name = E'\\033[2J[bold]Ada\\u202e' WHERE id = 101")
    with terminal("user-list", cwd=pamps.folder, env=pamps.environment()) as there:
        assert there.end() == 0
    lines = there.screen.splitlines()
    assert there.screen.count("followers") == 1
    assert len(lines) == 102
    assert "\x1b[2J" not in there.screen
    assert "\u202e" not in there.screen
    assert lines[1].split() == ["101", "u101", "[2J[bold]Ada", datetime.now(UTC).date().isoformat(), "0", "0"]
    assert lines[101].index("u1") == lines[1].index("u101")
