"""What each statement reads: through which indexes, and how many pages at most, however large the tables are.

The crowd is small, so the planner is told to avoid whole tables, as it does by itself where they are large.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

import pytest

from pamps.config import Settings
from pamps.db.database import PLANNING, Database
from pamps.db.statement import Statement
from pamps.pagination import dated_page, page
from tests import crowd
from tests.crowd import ADMIN, ALONE, BEGINNER, EVERYWHERE, FAN, HOT, KEEN, NEWCOMER, NOSTALGIC, PERSONAL_ID, STAR
from tests.plans import Planner, planner
from tests.statements import STATEMENTS

SMALL, LARGE = 1, 4
SUSPENDED = 500


class Case(NamedTuple):
    """A statement with values, the indexes that it searches, and how many pages it may ask for.

    Where two indexes serve as well as each other, either will do: `like_pkey|like_by_user`.
    """

    params: dict[str, Any]
    indexes: str
    buffers: int
    grows: bool = False  # with what it finds, or because it reads less at a small size


def by(user: int) -> dict[str, Any]:
    """A signed-in viewer."""
    return {"viewer": user, "session": user, "proof": None}


def hash_of(what: str) -> bytes:
    return sha256(what.encode()).digest()


VISITOR = {"viewer": None, "session": None, "proof": None}
PAGE = {"limit": 20, "cursor_id": None}
DATED = {**PAGE, "cursor_date": None}
LATER = datetime(2100, 1, 1, tzinfo=UTC)
HASHES = {"seen": crowd.PASSWORD_HASH, "password_hash": "another"}
A_LINK = {
    **{"language": "en", "seed": "x", "kid": "x", "token_hash": b"new"},
    **{"lasts": timedelta(hours=1), "spacing": timedelta(hours=1)},
}
ACCOUNT = {"email": "new@example.com", "username": "new", "name": "New", "avatar": None, "bio": None}
DEVICE = {"user_agent": "x", "ip": "::1", "family_hash": b"family", "token_hash": b"token"}
GUESSED = {"first_delay": 1, "longest_delay": 900, "forgotten_after": 86400, "account_free": 5}
ELSEWHERE = {"address": "192.0.2.1", "network": "192.0.2.0/24", "known_for_days": 90}
AT_HOME = {"address": "198.51.100.1", "network": crowd.HOME, "known_for_days": 90}
HASH = {"seen": crowd.PASSWORD_HASH}
CODE = {"secret": crowd.SECRET, "step": 1, "recovery_code": None}
FAMILY = {"family_hash": hash_of(f"family{FAN}")}
KEPT = {"fingerprint": b"x", "status": 201, "headers": "{}", "answer": b"x"}

# By the name of the statement, and what is special about the values. The pages counted here are one for each level of
# an index and one for the row, so most of a list's are for the author and the viewer's like of each of its 20 posts.
OF_POSTS = "user_pkey like_pkey session_by_user"  # their authors, the viewer's likes, the viewer's session
OF_USERS = "social_pkey session_by_user"
CASES = {
    "health.revision": Case({}, "alembic_version_pkc", 10),
    "health.mail_waiting": Case({}, "pgqueuer_priority_id_id1_idx|pgqueuer_ep_ea_idx|pgqueuer_ep_prio_id_idx", 10),
    "idempotency.claim": Case(
        {**by(FAN), "key": hash_of(f"key{FAN}"), "kept": timedelta(hours=24)},
        "idempotency_key_pkey session_by_user",
        20,
    ),
    "idempotency.keep": Case({**KEPT, "key": b"new", "owner": FAN}, "user_pkey", 50),
    "idempotency.sweep": Case(
        {"kept": timedelta(hours=24)},
        "idempotency_key_by_age idempotency_key_pkey",
        700,
        grows=True,  # since 17, ids on one page of an index are found at once: the fewer, the more there are
    ),
    "like.like": Case({**by(NEWCOMER), "id": ALONE}, f"post_pkey {OF_POSTS}", 100),
    "like.unlike": Case({**by(EVERYWHERE), "id": HOT}, f"post_pkey {OF_POSTS}", 100),
    "like.liked_by": Case({**by(FAN), **DATED, "id": HOT}, "like_by_post post_pkey user_pkey session_by_user", 100),
    "like.liked_posts": Case(
        {**by(FAN), **DATED, "username": f"user{EVERYWHERE}"},
        f"user_username_key like_by_user post_pkey {OF_POSTS}",
        250,
    ),
    "mail.email": Case(by(FAN), "user_pkey session_by_user", 20),
    "mail.ask_verification": Case({**by(FAN), **A_LINK}, "user_pkey session_by_user link_pkey", 50),
    "mail.verify": Case({"token_hash": hash_of(f"verification{FAN}")}, "link_token_hash_key user_pkey", 50),
    "mail.ask_password_reset": Case({"email": f"user{FAN}@example.com", "language": "en"}, "", 50),
    "mail.send_password_reset": Case(
        {"email": f"user{FAN}@example.com", **A_LINK},
        "user_email_key link_pkey",
        50,
        grows=True,  # one level of an index, asked for by each of its writes
    ),
    "mail.password_reset": Case({"token_hash": hash_of(f"password_reset{FAN}")}, "link_token_hash_key user_pkey", 20),
    "mail.reset_password": Case(
        {"token_hash": hash_of(f"password_reset{FAN}"), "password_hash": "x", "language": "en", "network": crowd.HOME},
        "link_token_hash_key user_pkey session_by_user device_pkey attempt_pkey",
        150,
        grows=True,  # one level of one index
    ),
    "mail.forget_failed": Case({}, "pgqueuer_log_created pgqueuer_pkey", 20),
    "mail.forget_log": Case({}, "pgqueuer_log_created", 20),
    "post.publish": Case({**by(FAN), "text": "x", "parent_id": HOT}, f"post_pkey {OF_POSTS}", 100),
    "post.read": Case({**by(FAN), "id": HOT}, f"post_pkey post_replies {OF_POSTS}", 150),
    "post.read.versioned": Case({**by(FAN), "id": HOT}, f"post_pkey post_replies post_under {OF_POSTS}", 250),
    "post.replies": Case({**by(FAN), **PAGE, "id": HOT}, f"post_pkey post_replies {OF_POSTS}", 150),
    "post.home": Case({**by(FAN), **PAGE}, f"post_public {OF_POSTS}", 150),
    "post.home, a visitor": Case({**VISITOR, **PAGE}, "post_public user_pkey", 100),
    "post.by_user_with_replies": Case(
        {**by(FAN), **PAGE, "username": f"user{STAR}"}, f"user_username_key post_by_user {OF_POSTS}", 150
    ),
    "post.by_user_without_replies": Case(
        {**by(FAN), **PAGE, "username": f"user{STAR}"}, f"user_username_key post_by_user_no_replies {OF_POSTS}", 150
    ),
    "post.by_user_with_replies.versioned": Case(
        {**by(FAN), **PAGE, "username": f"user{STAR}"}, f"user_username_key post_by_user {OF_POSTS}", 150
    ),
    "post.by_user_without_replies.versioned": Case(
        {**by(FAN), **PAGE, "username": f"user{STAR}"}, f"user_username_key post_by_user_no_replies {OF_POSTS}", 150
    ),
    "post.edit": Case({**by(NEWCOMER), "id": ALONE, "text": "y"}, f"post_pkey {OF_POSTS}", 50),
    "post.delete": Case(
        {**by(NEWCOMER), "id": ALONE},
        "post_pkey post_under like_by_post user_pkey session_by_user",
        200,
    ),
    "session.credentials": Case(
        {"login": f"user{FAN}", **ELSEWHERE, **GUESSED, "address_free": 50},
        "user_username_key user_email_key two_factor_pkey device_pkey attempt_pkey attempt_by_last_at",
        100,
    ),
    "session.credentials, at home": Case(
        {"login": f"user{FAN}", **AT_HOME, **GUESSED, "address_free": 50},
        "user_username_key user_email_key two_factor_pkey device_pkey attempt_pkey attempt_by_last_at",
        50,
    ),
    "session.take_back": Case(
        {"user_id": FAN, "login": f"user{FAN}", "address": "192.0.2.1", "network": crowd.HOME, "known_here": False},
        "attempt_pkey",
        50,
    ),
    "session.upgrade_hash": Case({"user_id": FAN, **HASHES}, "user_pkey", 50),
    "session.start": Case(
        {
            "user_id": FAN,
            "login": f"user{FAN}",
            "seen": crowd.PASSWORD_HASH,
            "lasts": 60.0,
            **DEVICE,
            **ELSEWHERE,
            "known_here": False,
            **CODE,
            "language": "en",
        },
        "user_pkey two_factor_pkey session_by_user device_pkey device_by_last_seen attempt_pkey",
        150,
    ),
    "session.refresh": Case(
        {**FAMILY, "token_hash": hash_of(f"token{FAN}"), "new_token_hash": b"new", "lasts": 60.0},
        "session_family_hash_key",
        50,
    ),
    "session.end_spent": Case({**FAMILY, "token_hash": hash_of("an earlier one")}, "session_family_hash_key", 10),
    "session.revoke_by_refresh_token": Case(FAMILY, "session_family_hash_key", 10),
    "session.revoke_by_access_token": Case({"id": FAN, "user_id": FAN}, "session_by_user", 10),
    "session.revoke_personal_token": Case(
        {"id": PERSONAL_ID, "user_id": NOSTALGIC, "token_hash": hash_of("personal0")},
        "session_personal",
        10,
    ),
    "session.mine": Case({**by(EVERYWHERE), **PAGE}, "session_by_user", 10),
    "session.end": Case({**by(FAN), "id": FAN}, "session_by_user", 20),
    "tally.exchange": Case(
        {
            "names": [f"LIMITER/read/user {n}/600/1/minute/29932440" for n in range(1, 5)],
            "ends": [LATER] * 4,
            "amounts": [1, 2, 0, 0],
        },
        "tally_by_end tally_pkey",
        50,
    ),
    "moderation.standing": Case(
        {**by(ADMIN), "username": f"user{FAN}"}, "user_pkey user_username_key session_by_user", 20
    ),
    "moderation.suspend": Case(
        {**by(ADMIN), "username": f"user{NEWCOMER}", "reason": "Spam."},
        "user_pkey user_username_key post_by_user session_by_user",
        200,
    ),
    "moderation.let_back": Case(
        {**by(ADMIN), "username": f"user{NEWCOMER}"}, "user_pkey user_username_key session_by_user", 200
    ),
    "moderation.give_role": Case(
        {**by(ADMIN), "username": f"user{FAN}", "role": "moderator"},
        "user_pkey user_username_key user_admins session_by_user",
        50,
    ),
    "moderation.suspend_by_operator": Case(
        {"username": f"user{NEWCOMER}", "reason": "Spam."}, "user_username_key post_by_user session_by_user", 200
    ),
    "moderation.let_back_by_operator": Case({"username": f"user{NEWCOMER}"}, "user_username_key", 200),
    "moderation.give_role_by_operator": Case({"username": f"user{FAN}", "role": "admin"}, "user_username_key", 50),
    "moderation.delete_post": Case(
        {**by(ADMIN), "id": ALONE},
        "post_pkey post_under like_by_post user_pkey session_by_user",
        200,
    ),
    "token.make": Case(
        {**by(FAN), "token_hash": b"token", "name": "new", "scopes": ["read"], "days": 7},
        "session_personal|session_name_key session_by_user user_pkey",
        50,
    ),
    "token.mine": Case({**by(NOSTALGIC), **PAGE}, "session_personal session_by_user", 10),
    "token.end": Case({**by(NOSTALGIC), "id": PERSONAL_ID}, "session_personal session_by_user", 20),
    "token.note_uses": Case({"ids": [PERSONAL_ID, FAN, 2**52], "times": [LATER] * 3}, "session_pkey", 80),
    # 500 posts: of each its replies, itself, its author and the viewer's like.
    "thread.thread": Case({**by(FAN), "id": HOT}, f"post_pkey post_under {OF_POSTS}", 6000),
    "thread.thread.versioned": Case({**by(FAN), "id": HOT}, f"post_pkey post_under {OF_POSTS}", 9000),
    "timeline.timeline_with_replies.versioned": Case(
        {**by(FAN), **PAGE}, f"social_following post_by_user post_pkey {OF_POSTS}", 700
    ),
    "timeline.timeline_without_replies.versioned": Case(
        {**by(FAN), **PAGE}, f"social_following post_by_user_no_replies post_pkey {OF_POSTS}", 700
    ),
    "timeline.timeline_with_replies": Case(
        {**by(FAN), **PAGE}, f"social_following post_by_user post_pkey {OF_POSTS}", 500
    ),
    "timeline.timeline_without_replies": Case(
        {**by(FAN), **PAGE}, f"social_following post_by_user_no_replies post_pkey {OF_POSTS}", 500
    ),
    "timeline.timeline_with_replies, of many": Case(
        {**by(KEEN), **PAGE}, f"social_following post_pkey {OF_POSTS}", 250
    ),
    "timeline.timeline_without_replies, of many": Case(
        {**by(KEEN), **PAGE}, f"social_following post_public post_pkey {OF_POSTS}", 250
    ),
    # Two or three pages for the latest of each of the 300.
    "timeline.timeline_with_replies, of many who are silent": Case(
        {**by(NOSTALGIC), **PAGE}, f"social_following post_by_user post_pkey {OF_POSTS}", 1200
    ),
    "timeline.timeline_without_replies, of many who are silent": Case(
        {**by(NOSTALGIC), **PAGE},
        f"social_following post_public post_by_user_no_replies post_pkey {OF_POSTS}",
        1200,
    ),
    "two_factor.status": Case(by(FAN), "two_factor_pkey session_by_user", 10),
    "two_factor.begin": Case(
        {**by(NEWCOMER), **HASH, "secret": "x"},
        "two_factor_pkey user_pkey session_by_user device_pkey attempt_pkey",
        100,
    ),
    "two_factor.enable": Case(
        {**by(BEGINNER), "secret": crowd.SECRET, "step": 1, "new_codes": ["x"]},
        "two_factor_pkey session_by_user attempt_pkey",
        50,
    ),
    "two_factor.take_back": Case({"session": FAN}, "attempt_pkey", 20),
    "two_factor.renew": Case(
        {**by(FAN), **HASH, **CODE, "new_codes": ["x"]},
        "two_factor_pkey user_pkey session_by_user device_pkey attempt_pkey",
        100,
    ),
    "two_factor.disable": Case(
        {**by(FAN), **HASH, **CODE, "language": "en"},
        "two_factor_pkey user_pkey session_by_user device_pkey attempt_pkey",
        100,
    ),
    "two_factor.turn_off": Case({"username": f"user{FAN}", "language": "en"}, "user_username_key two_factor_pkey", 50),
    "user.register": Case({**VISITOR, **ACCOUNT, "password_hash": "x", "role": "user"}, "", 50),
    "user.find": Case({**by(FAN), "username": f"user{STAR}"}, f"user_username_key {OF_USERS}", 20),
    "user.me": Case(by(FAN), f"user_pkey {OF_USERS}", 20),
    "user.everyone": Case({**by(FAN), **PAGE}, f"user_pkey {OF_USERS}", 150),
    # Everybody matches.
    "user.search": Case(
        {**by(FAN), **PAGE, "q": "user"}, f"user_username_search user_name_search user_pkey {OF_USERS}", 500, grows=True
    ),
    "user.change": Case(
        {**by(FAN), "changes": '{"bio": "x"}', "language": None, "lately": 900}, f"user_pkey {OF_USERS}", 50
    ),
    "user.names": Case({"username": f"user{FAN}"}, "user_username_key", 10),
    "user.proof": Case(
        {**by(FAN), **GUESSED}, "user_pkey two_factor_pkey session_by_user attempt_pkey attempt_by_last_at", 50
    ),
    "user.change_password": Case(
        {**by(FAN), **HASHES, "language": "en"}, "user_pkey session_by_user two_factor_pkey attempt_pkey", 100
    ),
    "user.leave": Case(
        {**by(NEWCOMER), "seen": crowd.PASSWORD_HASH},
        "user_pkey post_pkey post_by_user post_under like_by_post like_pkey|like_by_user session_by_user "
        "social_followers social_following link_pkey device_pkey two_factor_pkey idempotency_key_by_user",
        300,
    ),
    "user.set_password": Case(
        {"username": f"user{FAN}", "password_hash": "x", "language": "en"},
        "user_username_key user_pkey session_by_user device_pkey attempt_pkey",
        100,
    ),
    "follow.follow": Case({**by(NEWCOMER), "id": FAN, "username": None}, f"user_pkey {OF_USERS}", 150),
    "follow.follow, by name": Case(
        {**by(NEWCOMER), "id": None, "username": f"user{FAN}"}, f"user_pkey user_username_key {OF_USERS}", 150
    ),
    "follow.unfollow": Case({**by(FAN), "id": STAR, "username": None}, f"user_pkey {OF_USERS}", 150),
    "follow.followers": Case(
        {**by(FAN), **DATED, "username": f"user{STAR}"}, f"user_username_key social_followers user_pkey {OF_USERS}", 250
    ),
    "follow.following": Case(
        {**by(FAN), **DATED, "username": f"user{EVERYWHERE}"},
        f"user_username_key social_following user_pkey {OF_USERS}",
        250,
    ),
    # A page for each row, found where it lies.
    "version.unchanged": Case(
        {
            "posts": ['{"(0,1)","(0,2)","(9,9)"}'] * 2,
            "users": ['{"(0,1)","(3,2)"}'] * 2,
            **{"stamps": ["7"] * 2, "viewers": [FAN] * 2, "sessions": [FAN] * 2, "proofs": "{NULL,NULL}"},
        },
        "session_by_user",
        20,
    ),
}
every_case = pytest.mark.parametrize("name", CASES)
every_list = pytest.mark.parametrize("name", [name for name, case in CASES.items() if "limit" in case.params])


def statement_of(name: str) -> Statement:
    return STATEMENTS[name.partition(",")[0]]


@pytest.fixture(scope="module")
def small(migrated_database: Callable[[], str]) -> Iterator[Planner]:
    yield from planner_among(migrated_database(), SMALL)


@pytest.fixture(scope="module")
def large(migrated_database: Callable[[], str]) -> Iterator[Planner]:
    yield from planner_among(migrated_database(), LARGE)


def planner_among(uri: str, size: int) -> Iterator[Planner]:
    crowd.gather(uri, size)
    with planner(uri) as found:
        yield found


def test_every_statement_has_a_case() -> None:
    assert {name.partition(",")[0] for name in CASES} == STATEMENTS.keys()


def test_the_service_plans_as_these_tests_do(uri: str, settings: Settings) -> None:
    async def planning() -> dict[str, str]:
        database = Database(uri, settings.db)
        pool = await database.open()
        async with pool.acquire() as connection:
            found = {name: await connection.fetchval(f"SHOW {name}") for name in PLANNING}
        await database.close()
        return found

    assert asyncio.run(planning()) == {"jit": "off", "plan_cache_mode": "force_generic_plan"}


@every_case
def test_it_does_what_it_is_for(large: Planner, name: str) -> None:
    """A statement that finds nothing would touch little."""
    row = large.row(statement_of(name), CASES[name].params)
    assert row is not None
    assert row.get("body", "") not in (None, [])
    assert row.get("refused") is None


@every_case
@pytest.mark.parametrize("size", ["small", "large"])
def test_it_reads_by_its_indexes(request: pytest.FixtureRequest, size: str, name: str) -> None:
    planner: Planner = request.getfixturevalue(size)
    touched = planner.touched(statement_of(name), CASES[name].params)
    assert touched.whole == set()
    alike = [set(names.split("|")) for names in CASES[name].indexes.split()]
    searched = {min(next((names for names in alike if index in names), {index})) for index in touched.indexes}
    assert searched == {min(names) for names in alike}


@every_case
def test_it_reads_no_more_where_there_is_more(small: Planner, large: Planner, name: str) -> None:
    case = CASES[name]
    for one in (small, large):
        one.clear_up()
    of_few, of_many = (one.touched(statement_of(name), case.params).buffers for one in (small, large))
    assert max(of_few, of_many) <= case.buffers
    # Some indexes are a level deeper.
    assert case.grows or of_many <= 1.1 * of_few + 10


@pytest.mark.parametrize(
    ("beginning", "matches"),
    [("user", 4000), ("name", 3960), ("zoe", 40), ("user70", 11), ("user5", 111), ("user700", 1), ("nobody", 0)],
)
def test_a_search_reads_no_more_than_what_matches(large: Planner, beginning: str, matches: int) -> None:
    """Of each that matches the row, and of each that is shown what a profile needs."""
    params = {**by(FAN), **PAGE, "q": beginning}
    touched = large.touched(STATEMENTS["user.search"], params)
    assert touched.buffers <= 10 + matches + 8 * min(matches, 20)


@pytest.fixture(scope="module")
def half_suspended(migrated_database: Callable[[], str]) -> Iterator[Planner]:
    """A small crowd, of which the newest half is suspended."""
    uri = migrated_database()
    crowd.gather(uri, SMALL)
    crowd.suspend(uri, SUSPENDED)
    with planner(uri) as found:
        yield found


@pytest.mark.parametrize("name", ["user.everyone", "user.search", "follow.followers", "like.liked_by"])
def test_a_list_of_people_reads_past_the_suspended_a_row_each(
    small: Planner, half_suspended: Planner, name: str
) -> None:
    """Its pages are whole, and hold everybody else once: however many in a row are not shown."""
    statement, params = statement_of(name), CASES[name].params
    if "q" in params:
        params = {**params, "q": "user"}
    parameters = dated_page if "cursor_date" in params else page
    sizes: list[int] = []
    found: list[int] = []
    cursor = None
    while not sizes or cursor:
        row = half_suspended.row(statement, {**params, **asyncio.run(parameters(100, cursor))})
        assert row
        sizes.append(len(row["body"]))
        found += [one["id"] for one in row["body"]]
        cursor = row["next"]
    assert set(sizes[:-1]) == {100}
    everybody = small.row(statement, {**params, "limit": 2 * crowd.USERS})
    assert everybody
    shown = [one["id"] for one in everybody["body"] if one["id"] <= crowd.USERS - SUSPENDED]
    assert found == shown
    assert len(shown) > 400
    usual, most = (planner.touched(statement, params).buffers for planner in (small, half_suspended))
    assert most <= usual + SUSPENDED


def items(row: dict[str, Any]) -> list[Any]:
    """What a page shows."""
    body = row["body"]
    found: list[Any] = json.loads(bytes(body)) if isinstance(body, memoryview) else body
    return found


@every_list
def test_page_1000_reads_no_more_than_page_1(large: Planner, name: str) -> None:
    statement, params = statement_of(name), CASES[name].params
    before = large.row(statement, {**params, "limit": 2 * 999})
    assert before
    parameters = dated_page if "cursor_date" in params else page
    deep = {**params, **asyncio.run(parameters(2, before["next"]))}
    found = large.row(statement, deep)
    assert found
    on_page, all_before = items(found), items(before)
    assert len(on_page) == 2
    assert on_page[0] not in all_before
    first, thousandth = (large.touched(statement, values).buffers for values in ({**params, "limit": 2}, deep))
    assert thousandth <= 1.1 * first + 3
