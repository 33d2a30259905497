"""`pamps shell`, with a script and at a terminal."""

import pytest

from tests.commands import Commands
from tests.terminal import terminal

pytest_plugins = "tests.command_fixtures"


def test_a_script_has_the_session_the_models_and_select(pamps: Commands) -> None:
    pamps.add_users(2)
    script = """
print([user.username for user in session.exec(select(User).order_by(User.id))])
print([table.__name__ for table in (User, Post, Like, Social, Session)])
print(engine.dialect.driver, settings.env, __name__)
"""
    assert pamps("shell", stdin=script) == (
        "['u1', 'u2']\n['User', 'Post', 'Like', 'Social', 'Session']\npsycopg2 development __main__\n"
    )


def test_what_a_script_commits_stays_and_the_rest_does_not(pamps: Commands) -> None:
    pamps.add_users(1)
    script = """
session.add(Post(user_id=1, text="kept"))
session.commit()
session.add(Post(user_id=1, text="not kept"))
session.flush()
"""
    assert pamps("shell", stdin=script) == ""
    assert pamps.sql("SELECT text FROM post") == [("kept",)]


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        (
            "def f():\n    return 1 / 0\nf()",
            'Traceback (most recent call last):\n  File "<stdin>", line 3, in <module>\n'
            '  File "<stdin>", line 2, in f\nZeroDivisionError: division by zero\n',
        ),
        ("f(", "  File \"<stdin>\", line 1\n    f(\n     ^\nSyntaxError: '(' was never closed\n"),
    ],
)
def test_an_error_in_a_script_is_shown_as_python_shows_it(pamps: Commands, script: str, shown: str) -> None:
    done = pamps.run("shell", stdin=script)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", shown)


def test_a_script_may_choose_the_exit_code(pamps: Commands) -> None:
    assert pamps.run("shell", stdin="raise SystemExit(7)").returncode == 7


def test_at_a_terminal_one_talks_to_python(pamps: Commands) -> None:
    pamps.add_users(3)
    with terminal("shell", cwd=pamps.folder, env=pamps.environment()) as there:
        there.shows("session, engine and settings are there, and select, Attempt, Device,")
        there.shows("Nothing is written before session.commit().")
        there.type("len(session.exec(select(User)).all()) * 111\n")
        there.shows("333")
        there.type("exit()\n")
        assert there.end() == 0
