"""Answers that are kept: one is given again only where the database says that it would say the same now."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine, text

from pamps import errors
from pamps.app import create_app
from pamps.config import Settings
from pamps.kept import KeepingDatabase
from pamps.queries.thread import THREAD_MAX
from pamps.queries.timeline import FEW
from pamps.queries.version import unchanged
from tests.api import Api
from tests.clusters import Cluster
from tests.commands import Commands
from tests.factories import World
from tests.hammering import read_while_written
from tests.kept import Question, Told, asking, posts_by, the_post, the_thread, timeline
from tests.processes import serving, until

pytest_plugins = "tests.cluster_fixtures"

ADA = 1


@pytest.fixture
def questions(world: World) -> list[Question]:
    """One of each kind, about a post by bob and ada's reply to it; ada follows him."""
    ada, bob = world.user("ada"), world.user("bob")
    world.post(by=ada, parent=world.post(by=bob, text="Olá 👋"))
    world.follow(ada, bob)
    world.sign_in(ada)
    return [
        *(the_post(1), the_thread(2), posts_by("ada"), posts_by("bob", replies=False)),
        *(timeline(ADA), timeline(ADA, replies=False)),
    ]


@pytest.fixture
def does(engine: Engine) -> Any:
    """Does something to the database, and commits it."""

    def done(*commands: str) -> None:
        for command in commands:
            with engine.begin() as connection:
                connection.execute(text(command))

    return done


def test_what_is_asked_for_again_is_kept_and_then_only_asked_about(
    settings: Settings, questions: list[Question]
) -> None:
    async def ask(database: Told) -> None:
        for question in questions:
            first = await database.answer(question)
            assert first is not None
            assert await database.runs(question) == [question[0].versioned]
            assert await database.runs(question) == [unchanged]
            assert await database.answer(question) == first

    asking(settings, ask)


def test_many_answers_are_asked_about_together(settings: Settings, questions: list[Question]) -> None:
    async def ask(database: Told) -> None:
        for question in questions:
            await database.keep(question)
        anew = [await database.anew(question) for question in questions]
        database.ran.clear()
        assert await asyncio.gather(*(database.answer(question) for question in questions)) == anew
        assert database.ran == [unchanged]
        assert database.asking is None

    asking(settings, ask)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ("""UPDATE "user" SET name = 'Robert' WHERE username = 'bob'""", [0, 1, 3, 4, 5]),
        ("""UPDATE "user" SET avatar = 'https://x.org/' WHERE username = 'ada'""", [0, 1, 2]),
        ('INSERT INTO "like" (user_id, post_id) VALUES (1, 1)', [0, 1, 3, 4, 5]),
        ("UPDATE post SET text = 'edited' WHERE id = 2", [0, 1, 2]),
        ("INSERT INTO post (user_id, parent_id, text) VALUES (2, 2, 'x')", [0, 1, 2, 4]),
        ("INSERT INTO post (user_id, text) VALUES (2, 'x')", [3, 4, 5]),
        ("UPDATE post SET user_id = NULL WHERE id = 2", [0, 1, 2, 3, 4, 5]),
        ("UPDATE post SET user_id = NULL WHERE id = 1", [0, 1, 3, 4, 5]),
        ("DELETE FROM social", [4, 5]),
        ("""DELETE FROM "user" WHERE username = 'bob'""", [0, 1, 3, 4, 5]),
        ("""UPDATE "user" SET suspended_at = now(), suspended_reason = 'x' WHERE username = 'ada'""", [0, 1, 2, 4, 5]),
    ],
)
def test_whatever_changes_an_answer_is_seen_by_the_next_request(
    settings: Settings, questions: list[Question], does: Any, change: str, changed: list[int]
) -> None:
    async def ask(database: Told) -> None:
        before = []
        for question in questions:
            await database.keep(question)
            before.append(await database.answer(question))
        does(change)
        after = [await database.answer(question) for question in questions]
        assert [number for number, one in enumerate(after) if one != before[number]] == changed
        assert after == [await database.anew(question) for question in questions]

    asking(settings, ask)


def test_what_changes_as_often_as_it_is_asked_for_is_not_kept_at_once_again(
    settings: Settings, questions: list[Question], does: Any
) -> None:
    plain, question = questions[0][0], questions[0]

    async def ask(database: Told) -> None:
        edit = "UPDATE post SET text = text || '.' WHERE id = 1"
        await database.keep(question)
        does(edit)
        assert [await database.runs(question) for _ in range(3)] == [[unchanged, plain], [plain], [plain.versioned]]
        assert await database.runs(question) == [unchanged]
        does(edit)
        assert [await database.runs(question) for _ in range(2)] == [[unchanged, plain], [plain.versioned]]

    asking(settings, ask)


def test_only_what_is_committed_changes_an_answer(
    settings: Settings, questions: list[Question], engine: Engine
) -> None:
    async def ask(database: Told) -> None:
        await database.keep(questions[0])
        before = await database.answer(questions[0])
        with engine.connect() as connection:
            connection.execute(text("UPDATE post SET text = 'not yet' WHERE id = 1"))
            assert await database.runs(questions[0]) == [unchanged]
            connection.rollback()
            assert await database.runs(questions[0]) == [unchanged]
            connection.execute(text("UPDATE post SET text = 'now' WHERE id = 1"))
            connection.commit()
        assert await database.answer(questions[0]) != before

    asking(settings, ask)


@pytest.mark.parametrize(
    "end",
    [
        "DELETE FROM session",
        "UPDATE session SET expires_at = clock_timestamp()",
        "UPDATE session SET token_hash = 'y', name = 'personal', scopes = '{read}', family_hash = NULL",
    ],
)
def test_a_kept_answer_is_for_a_session_that_is_alive(
    settings: Settings, questions: list[Question], does: Any, end: str
) -> None:
    async def ask(database: Told) -> None:
        for question in (timeline(ADA), the_post(1, ADA)):
            await database.keep(question)
        does(end)
        for question in (timeline(ADA), the_post(1, ADA)):
            assert await database.answer(question) is None
        await database.keep(the_post(1))
        assert await database.answer(the_post(1)) is not None

    asking(settings, ask)


def test_a_row_that_comes_to_lie_where_another_lay_is_not_taken_for_it(
    settings: Settings, world: World, does: Any
) -> None:
    """All are of one transaction, and keep its number when they are put in the order of their ids."""
    world.user("ada")
    does(
        'TRUNCATE post, "like"',
        """INSERT INTO post (id, user_id, text) OVERRIDING SYSTEM VALUE
           SELECT n, 1, 'post ' || n FROM generate_series(10, 1, -1) AS n""",
    )

    async def ask(database: Told) -> None:
        for post in range(1, 11):
            await database.keep(the_post(post))
        does("CLUSTER post USING post_pkey", "ALTER TABLE post SET WITHOUT CLUSTER")
        for post in (1, 10):
            assert await database.runs(the_post(post)) == [unchanged, the_post(post)[0]]
        does("UPDATE post SET text = 'edited' WHERE id = 5")
        for post in range(1, 11):
            assert await database.answer(the_post(post)) == await database.anew(the_post(post))

    asking(settings, ask)


def test_a_row_that_comes_to_lie_where_itself_lay_before_is_not_taken_for_what_it_was(
    settings: Settings, world: World, engine: Engine
) -> None:
    world.user("ada")

    def write(command: str) -> str:
        """Past the triggers, so that no other row is changed. Where the post lies then."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(text(command))
            connection.execute(text("VACUUM post"))
            connection.execute(text("RESET session_replication_role"))
            return str(connection.scalar(text("SELECT ctid FROM post")))

    insert = "INSERT INTO post (id, user_id, text) OVERRIDING SYSTEM VALUE VALUES (1, 1, '{}')"
    write('TRUNCATE post, "like"')
    place = write(insert.format("one"))

    def is_there_again() -> bool:
        """Not while anybody has an older snapshot: what was deleted stays where it was, too."""
        write("DELETE FROM post")
        return write(insert.format("another")) == place

    async def ask(database: Told) -> None:
        await database.keep(the_post(1))
        until(is_there_again)
        assert "another" in str(await database.answer(the_post(1)))

    asking(settings, ask)


def test_what_was_kept_before_the_server_crashed_is_not_given_after(cluster: Cluster, settings: Settings) -> None:
    """Of transactions that a crash has lost the numbers may be given to others."""
    db = settings.db.model_copy(update={"uri": cluster.start()})
    cluster.column("""INSERT INTO "user" (email, username, password_hash) VALUES ('a@x.org', 'ada', '') RETURNING id""")
    cluster.column("INSERT INTO post (user_id, text) VALUES (1, 'x') RETURNING id")

    async def ask(database: Told) -> None:
        await database.keep(the_post(1))
        assert await database.runs(the_post(1)) == [unchanged]
        cluster.kill()
        cluster.start()
        answered = False
        while not answered:  # it takes a request to find out that a connection is gone
            with suppress(errors.DatabaseUnavailable):
                ran = await database.runs(the_post(1))
                answered = True
        assert ran == [unchanged, the_post(1)[0]]

    asking(settings.model_copy(update={"db": db}), ask)


def test_answers_that_others_than_the_shown_may_change_are_not_kept(
    settings: Settings, world: World, does: Any
) -> None:
    """Who is let back changes nothing but their own rows, and those of the hidden are not among what is shown."""
    ada, eve = world.user("ada"), world.user("eve")
    root = world.post(by=ada)
    world.post(by=eve, parent=root)
    does("""UPDATE "user" SET suspended_at = now(), suspended_reason = 'x' WHERE username = 'eve'""")

    async def ask(database: Told) -> None:
        for question in (the_post(1), the_thread(1)):
            await database.keep(question)
            assert await database.runs(question) == [question[0]]
        does("""UPDATE "user" SET suspended_at = NULL, suspended_reason = NULL""")
        for question in (the_post(1), the_thread(1)):
            found = await database.answer(question)
            assert found == await database.anew(question)
            assert '"eve"' in str(found)

    asking(settings, ask)


def test_what_would_take_as_long_to_ask_about_is_not_kept(settings: Settings, world: World, does: Any) -> None:
    ada = world.user("ada")
    world.sign_in(ada)
    world.post(by=ada)
    does(
        f"INSERT INTO post (user_id, parent_id, text) SELECT 1, 1, 'x' FROM generate_series(1, {THREAD_MAX + 2})",
        f"""INSERT INTO "user" (email, username, password_hash)
            SELECT n || '@x.org', 'user' || n, '' FROM generate_series(1, {FEW + 1}) AS n""",
        'INSERT INTO social (follower_id, followed_id) SELECT 1, id FROM "user" WHERE id > 1',
    )

    async def ask(database: Told) -> None:
        for question in (the_thread(1), timeline(ADA)):
            await database.keep(question)
            assert await database.runs(question) == [question[0]]
        does('DELETE FROM social WHERE followed_id = (SELECT max(id) FROM "user")')
        database.asked.clear()
        await database.keep(timeline(ADA))
        assert await database.runs(timeline(ADA)) == [unchanged]

    asking(settings, ask)


def test_what_is_kept_is_bounded(settings: Settings, world: World, does: Any) -> None:
    world.user("ada")
    does("INSERT INTO post (user_id, text) SELECT 1, repeat('x', 50000) FROM generate_series(1, 60) AS n")

    async def ask(database: Told) -> None:
        for post in range(1, 61):
            await database.keep(the_post(post))
            await database.answer(the_post(1))  # what is asked for stays
        answers = database.answers
        assert answers.size == sum(kept.size for kept in answers.kept.values())
        assert 900_000 < answers.size <= 1024 * 1024
        assert await database.runs(the_post(1)) == await database.runs(the_post(60)) == [unchanged]
        assert await database.runs(the_post(2)) != [unchanged]
        does("DELETE FROM post WHERE id > 1")
        for post in range(2, 61):
            await database.answer(the_post(post))
        assert len(answers) == 1
        assert answers.size < 60_000

    asking(settings, ask)


def test_an_error_reaches_everybody_who_waits_and_then_it_goes_on(
    settings: Settings, questions: list[Question], engine: Engine
) -> None:
    short = settings.model_copy(update={"db": settings.db.model_copy(update={"statement_timeout": 0.2})})

    async def ask(database: Told) -> None:
        for question in questions:
            await database.keep(question)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE post IN ACCESS EXCLUSIVE MODE"))
            answers = (database.answer(question) for question in questions)
            found = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(error) for error in found] == [errors.DatabaseBusy] * len(questions)
        database.ran.clear()
        assert await asyncio.gather(*(database.answer(question) for question in questions))
        assert database.ran == [unchanged]

    asking(short, ask)


def test_a_client_that_goes_takes_nobody_else_along(settings: Settings, questions: list[Question]) -> None:
    async def ask(database: Told) -> None:
        for question in questions:
            await database.keep(question)
        tasks = [asyncio.create_task(database.answer(question)) for question in questions]
        await asyncio.sleep(0)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == [await database.anew(question) for question in questions[1:]]

    asking(settings, ask)


def test_a_setting_turns_it_off(settings: Settings) -> None:
    for megabytes, keeps in ((0, False), (1, True)):
        server = settings.server.model_copy(update={"kept_megabytes": megabytes})
        with Api(create_app(settings.model_copy(update={"server": server}))) as api:
            assert isinstance(api.application.state.database, KeepingDatabase) is keeps


def test_a_kept_answer_is_the_same_to_its_client(api: Api, questions: list[Question]) -> None:
    for path in ("/post/1/", "/post/2/thread/", "/post/user/ada/?limit=1"):
        first, *others = (api.get(path) for _ in range(4))
        for other in others:
            assert other.content == first.content
            for name in ("ETag", "Link", "Content-Type", "Content-Length", "Vary", "Cache-Control"):
                assert other.headers.get(name) == first.headers.get(name)
        assert api.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_no_reader_of_what_is_kept_sees_less_than_was_there_when_they_asked(
    tmp_path: Path, empty: None, uri: str
) -> None:
    """Through two server processes."""
    pamps = Commands(uri, tmp_path)

    def latest(found: Any) -> int:
        post = found[0] if isinstance(found, list) else found.get("post", found)
        return int(post["text"])

    with serving(pamps.folder, pamps.environment(), "--workers", "2") as server:
        ada, bob = server.register("ada"), server.register("bob")
        assert server.publish(ada, "0").status_code == 201
        assert server.request("POST", "/user/follow/ada/", headers=bob).status_code == 201

        def edit(client: httpx2.Client, number: int) -> httpx2.Response:
            return client.patch("/post/1/", json={"text": str(number)}, headers=ada)

        asked = [("/post/1/", {}), ("/post/1/thread/", {}), ("/post/user/ada/", {}), ("/user/timeline/", bob)]
        assert read_while_written(server.url, edit, 300, asked * 3, latest) > 100
