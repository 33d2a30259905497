"""The benchmark's network is as it should be."""

from collections.abc import Callable

import pytest

from benchmarks import data
from benchmarks.ground import Ground, prepare
from benchmarks.layout import CELEBRITIES, Layout
from benchmarks.network import COUNTERS
from pamps.config import Settings
from tests.network import LAYOUT, fingerprint, rows, value


@pytest.fixture(scope="module")
def ground(new_database: Callable[[], str], settings: Settings) -> Ground:
    """A thousandth of the network."""
    return prepare(new_database(), LAYOUT, settings.security)


def test_a_network_is_as_large_as_its_scale_says(ground: Ground) -> None:
    assert [value(ground, f"SELECT count(*) FROM {table}") for table in ('"user"', "post", '"like"', "social")] == [
        100,
        1000,
        10_000,
        5000,
    ]
    assert (Layout(1).users, Layout(1).posts, Layout(1).likes, Layout(1).follows) == (
        100_000,
        1_000_000,
        10_000_000,
        5_000_000,
    )


def test_a_third_are_replies_to_something_earlier(ground: Ground) -> None:
    assert 280 < value(ground, "SELECT count(*) FROM post WHERE parent_id < id") < 380
    assert value(ground, "SELECT count(*) FROM post WHERE parent_id >= id OR user_id IS NULL") == 0
    assert (
        value(ground, "SELECT count(*) FROM (SELECT date < lag(date) OVER (ORDER BY id) AS d FROM post) AS p WHERE d")
        == 0
    )


def test_the_great_threads_are_the_largest(ground: Ground) -> None:
    roots = {1 + number * LAYOUT.thread_span for number in range(LAYOUT.threads)}
    largest = rows(ground.uri, f"SELECT id FROM post ORDER BY reply_count DESC LIMIT {LAYOUT.threads}")
    assert {row[0] for row in largest} == roots
    assert Layout(1).thread_span // 16 > 3000


def test_a_few_have_most(ground: Ground) -> None:
    assert value(ground, f"SELECT like_count FROM post WHERE id = {LAYOUT.hot_post}") == LAYOUT.likers
    followers = rows(ground.uri, 'SELECT id, follower_count FROM "user" ORDER BY follower_count DESC, id LIMIT 5')
    assert [row[0] for row in followers] == list(range(1, CELEBRITIES + 1))
    assert min(row[1] for row in followers) == LAYOUT.pool + 3 * LAYOUT.readers_of_a_kind
    tenth = value(ground, 'SELECT sum(post_count) FROM (SELECT post_count FROM "user" ORDER BY 1 DESC LIMIT 10) AS u')
    assert tenth > 300  # of 1,000 posts, by 10 of 100 people


def test_readers_follow_as_many_as_they_should(ground: Ground) -> None:
    for reader in LAYOUT.readers.values():
        last = reader.first + LAYOUT.readers_of_a_kind - 1
        found = rows(ground.uri, f'SELECT following_count FROM "user" WHERE id BETWEEN {reader.first} AND {last}')
        assert found == [(reader.follows,)] * LAYOUT.readers_of_a_kind
    assert [reader.follows for reader in Layout(1).readers.values()] == [50, 1000, 5000, 50]


def test_the_silent_wrote_the_oldest_posts_and_none_since(ground: Ground) -> None:
    reader = LAYOUT.readers["silent"].first
    followed = f"SELECT followed_id FROM social WHERE follower_id = {reader}"
    newest = value(ground, f"SELECT max(id) FROM post WHERE user_id IN ({followed})")
    assert newest <= LAYOUT.old_posts
    assert value(ground, f"SELECT count(*) FROM post WHERE user_id IN ({followed})") == LAYOUT.old_posts


@pytest.mark.parametrize(("table", "counter", "recount", "_"), COUNTERS, ids=lambda part: part.strip('"')[:20])
def test_counters_are_right(ground: Ground, table: str, counter: str, recount: str, _: str) -> None:
    assert rows(ground.uri, f"SELECT id FROM {table} AS counted WHERE {counter} <> ({recount})") == []


def test_a_wrong_counter_is_found(migrated_database: Callable[[], str]) -> None:
    uri = migrated_database()
    data.make(uri, LAYOUT, "none")
    assert data.wrong_counters(uri, LAYOUT) == []
    with data.connected(uri) as cursor:
        cursor.execute("UPDATE post SET like_count = like_count + 1 WHERE id = %s", [LAYOUT.hot_post])
    assert data.wrong_counters(uri, LAYOUT) == [f"like_count of post {LAYOUT.hot_post}"]


def test_keys_indexes_and_triggers_are_as_the_migrations_made_them(ground: Ground, uri: str) -> None:
    triggers = (
        "SELECT tgname, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    )
    for query in (data.CONSTRAINTS, data.INDEXES, triggers):
        assert rows(ground.uri, query) == rows(uri, query) != []


def test_a_seed_makes_the_same_data_again(ground: Ground, migrated_database: Callable[[], str]) -> None:
    again = migrated_database()
    data.make(again, LAYOUT, value(ground, 'SELECT password_hash FROM "user" LIMIT 1'))
    assert fingerprint(again) == fingerprint(ground.uri)
    data.make(again, Layout(0.001, seed=2), "none")
    assert fingerprint(again)["post"] != fingerprint(ground.uri)["post"]


def test_data_are_kept_until_others_are_wanted(new_database: Callable[[], str], settings: Settings) -> None:
    uri = new_database()
    prepare(uri, LAYOUT, settings.security)
    with data.connected(uri) as cursor:
        cursor.execute("UPDATE post SET text = 'kept' WHERE id = 1")
    prepare(uri, LAYOUT, settings.security)
    assert rows(uri, "SELECT text FROM post WHERE id = 1") == [("kept",)]
    prepare(uri, Layout(0.001, seed=2), settings.security)
    assert rows(uri, "SELECT text FROM post WHERE id = 1") != [("kept",)]
