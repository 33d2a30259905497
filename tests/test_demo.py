"""`pamps demo`: a history of people who never were, and the database that it fills."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pydantic import TypeAdapter

from pamps import startup
from pamps.commands.demo import Size, fill, load
from pamps.commands.demo.history import History
from pamps.config import Settings
from pamps.db import drivers
from pamps.models.shape import Username
from pamps.passwords import Passwords
from tests.commands import Commands
from tests.processes import STRONG_SECRET
from tests.terminal import terminal

UNTIL = datetime(2026, 11, 22, tzinfo=UTC)
SMALL = Size(users=30, posts=120, likes=400, follows=200)
LARGE = Size(users=500, posts=5000, likes=20_000, follows=8000)
ARGUMENTS = [word for name, count in SMALL._asdict().items() for word in (f"--{name}", str(count))]


@pytest.fixture
def pamps(new_database: Callable[[], str], tmp_path: Path) -> Commands:
    """On a database without any table."""
    return Commands(new_database(), tmp_path)


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], str], settings: Settings) -> str:
    """A database that the demo has filled."""
    return filled_with(new_database(), settings)


def filled_with(uri: str, settings: Settings, seed: int = 1, size: Size = SMALL) -> str:
    fill(settings.model_copy(update={"db": settings.db.model_copy(update={"uri": uri})}), size, seed, UNTIL)
    return uri


def rows(uri: str, query: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(drivers.asyncpg_uri(uri))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def everything(uri: str) -> list[list[tuple[Any, ...]]]:
    """All that is in a database, but the hashes of passwords."""
    users = 'id, email, username, name, bio, created_at, post_count, follower_count, following_count FROM "user"'
    queries = (users, "* FROM social", "* FROM post", '* FROM "like"')
    return [rows(uri, f"SELECT {query} ORDER BY 1, 2") for query in queries]


def test_the_command_fills_an_empty_database_and_says_how_to_sign_in(pamps: Commands, settings: Settings) -> None:
    said = pamps("demo", *ARGUMENTS)
    counts = {table: pamps.sql(f'SELECT count(*) FROM "{table}"')[0][0] for table in ("user", "post", "like", "social")}
    assert said == (
        f"30 people, 120 posts, {counts['like']} likes, {counts['social']} follows.\n"
        "Sign in as demo with the password: looking around\n"
    )
    assert (counts["user"], counts["post"]) == (30, 120)
    matches = Passwords(settings.security).matches
    hashes = dict(pamps.sql('SELECT username, password_hash FROM "user"'))
    assert matches("looking around", hashes.pop("demo"))
    (nobodys,) = set(hashes.values())
    assert not matches("looking around", nobodys)
    assert "are here already" in pamps.refused("demo", *ARGUMENTS)
    assert pamps.sql('SELECT count(*) FROM "user"') == [(30,)]


def test_in_production_the_password_is_a_secret(pamps: Commands, settings: Settings) -> None:
    startup.migrate(pamps.uri)
    said = pamps("demo", *ARGUMENTS, env="production", security__secret_key=STRONG_SECRET)
    password = said.splitlines()[-1].removeprefix("Sign in as demo with the password: ")
    assert len(password) >= 20
    hashed = pamps.sql("SELECT password_hash FROM \"user\" WHERE username = 'demo'")[0][0]
    assert Passwords(settings.security).matches(password, hashed)


def test_a_bar_shows_how_far_it_is(pamps: Commands) -> None:
    with terminal("demo", *ARGUMENTS, cwd=pamps.folder, env=pamps.environment()) as there:
        there.shows("Filling")
        there.shows("Sign in as demo")
        assert there.end() == 0


@pytest.mark.parametrize("arguments", [("--users", "0"), ("--posts", "-1"), ("--until", "soon")])
def test_an_impossible_size_is_a_wrong_command_line(pamps: Commands, arguments: tuple[str, ...]) -> None:
    assert pamps.refused("demo", *arguments, code=2).startswith(f"Invalid value for '{arguments[0]}': ")


def test_the_counters_are_right(filled: str) -> None:
    wrong = """
    SELECT id FROM "user" AS u WHERE (post_count, follower_count, following_count) <> (
        (SELECT count(*) FROM post WHERE user_id = u.id),
        (SELECT count(*) FROM social WHERE followed_id = u.id),
        (SELECT count(*) FROM social WHERE follower_id = u.id))
    UNION ALL
    SELECT id FROM post AS p WHERE (like_count, reply_count) <> (
        (SELECT count(*) FROM "like" WHERE post_id = p.id), (SELECT count(*) FROM post WHERE parent_id = p.id))
    """
    assert rows(filled, wrong) == []


def test_everything_happens_in_its_time(filled: str) -> None:
    untimely = """
    SELECT 'post before its author', count(*) FROM post JOIN "user" u ON u.id = user_id WHERE date < created_at
    UNION SELECT 'reply before its post', count(*) FROM post r JOIN post p ON p.id = r.parent_id WHERE r.date <= p.date
    UNION SELECT 'edited before it was written', count(*) FROM post WHERE edited_at < date
    UNION SELECT 'like before its post', count(*) FROM "like" l JOIN post p ON p.id = post_id WHERE l.date < p.date
    UNION SELECT 'follow before an account', count(*)
        FROM social JOIN "user" u ON u.id IN (follower_id, followed_id) WHERE date < created_at
    UNION SELECT 'like of one''s own', count(*) FROM "like" l JOIN post p ON p.id = post_id WHERE l.user_id = p.user_id
    """
    assert [count for _, count in rows(filled, untimely)] == [0] * 6
    (latest,) = rows(
        filled,
        """SELECT greatest((SELECT max(greatest(date, edited_at)) FROM post), (SELECT max(date) FROM "like"),
        (SELECT max(date) FROM social), (SELECT max(created_at) FROM "user")) FROM (SELECT) AS one""",
    )
    assert latest[0] <= UNTIL
    by_date = rows(filled, "SELECT id FROM post ORDER BY date")
    assert by_date == sorted(by_date)


def test_the_same_seed_makes_the_same_and_the_size_of_a_batch_does_not_matter(
    filled: str, new_database: Callable[[], str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH", 7)
    assert everything(filled_with(new_database(), settings)) == everything(filled)


def test_another_seed_makes_something_else(filled: str, new_database: Callable[[], str], settings: Settings) -> None:
    other = everything(filled_with(new_database(), settings, seed=2))
    for one, another in zip(everything(filled), other, strict=True):
        assert one != another


def test_more_posts_make_no_other_people() -> None:
    assert History(SMALL._replace(posts=5000), 1, UNTIL).people == History(SMALL, 1, UNTIL).people


def test_a_text_arrives_as_it_is(filled: str) -> None:
    texts = [post.text for post in History(SMALL, 1, UNTIL).posts()]
    assert [text for (text,) in rows(filled, "SELECT text FROM post ORDER BY id")] == texts
    assert any("\n" in text for text in texts)
    assert load.field("a\\b\tc\nd\re") == "a\\\\b\\tc\\nd\\re"
    assert load.field(None) == "\\N"


def test_the_first_days_are_later_with_a_later_end() -> None:
    until = datetime(2020, 2, 29)
    dates = [post.date for post in History(SMALL, 1, until).posts()]
    assert all(0 < (until.replace(tzinfo=UTC) - date).days <= 240 for date in dates[:-5])


@pytest.mark.parametrize("size", [Size(1, 5, 5, 5), Size(2, 20, 90, 90), Size(3, 0, 0, 0), Size(6, 1, 50, 0)])
def test_a_few_people_are_enough(size: Size) -> None:
    history = History(size, 1, UNTIL)
    posts = list(history.posts())
    follows = [(who, whom) for who, whom, _ in history.follows()]
    assert (len(history.people), len(posts)) == (size.users, size.posts)
    assert len(set(follows)) == len(follows)
    assert all(who != whom for who, whom in follows)
    assert all(user != post.user for post in posts for user, _ in post.likes)


def test_usernames_are_usernames_and_nobody_has_anothers() -> None:
    names = [person.username for person in History(LARGE, 1, UNTIL).people]
    check = TypeAdapter(Username).validate_python
    assert [check(name) for name in names] == names
    assert len({name.lower() for name in names}) == LARGE.users


def test_the_sizes_are_about_what_was_asked_for() -> None:
    history = History(LARGE, 1, UNTIL)
    posts = list(history.posts())
    assert len(list(history.follows())) == pytest.approx(LARGE.follows, rel=0.1)
    assert sum(len(post.likes) for post in posts) == pytest.approx(LARGE.likes, rel=0.2)
    assert sum(post.parent is not None for post in posts) == pytest.approx(LARGE.posts / 3, rel=0.1)


def test_a_few_have_most_of_it() -> None:
    history = History(LARGE, 1, UNTIL)
    posts = list(history.posts())
    followed = Counter(whom for _, whom, _ in history.follows())
    written = Counter(post.user for post in posts)
    assert top_tenth(followed, LARGE.users) > 0.35
    assert top_tenth(written, LARGE.users) > 0.4
    assert top_tenth(Counter({post.number: len(post.likes) for post in posts}), LARGE.posts) > 0.3
    assert followed.most_common(1)[0] == (0, max(followed.values()))
    assert max(Counter(post.parent for post in posts if post.parent is not None).values()) > 20


def top_tenth(counts: Counter[int], among: int) -> float:
    """The share that the top tenth has."""
    return sum(count for _, count in counts.most_common(among // 10)) / counts.total()
