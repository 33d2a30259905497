"""What is measured, case by case."""

import json
from collections.abc import Callable
from random import Random
from urllib.parse import urlencode

from benchmarks.case import PAGE, Case, Place, Request, Script, Values
from benchmarks.layout import PRIME, THREAD_STEP
from pamps.db.statement import Statement
from pamps.queries import like as likes
from pamps.queries import post as posts
from pamps.queries import thread as threads
from pamps.queries import timeline as timelines
from pamps.queries import user as users

PASSWORD = "correct horse battery"
TEXT = "Two hard things in computer science: naming, invalidation, and off-by-one errors."
DIFFERENT = 2000  # requests at most, before a client begins again with the first one
BUSIEST = 200  # authors whose posts are read
FORM = "application/x-www-form-urlencoded"


def drawn(place: Place, purpose: str) -> Random:
    return Random(f"{place.layout.seed} {purpose}")


FIRST_PAGE: Values = {"limit": str(PAGE)}


def public_list() -> Case:
    return Case(
        "public-list",
        "public list",
        lambda place: [Request("GET", "/post/")],
        lambda place: Script({}, ((posts.home, FIRST_PAGE),)),
        shared=True,
        by_workers=True,
    )


def deep_page() -> Case:
    return Case(
        "deep-page",
        "public list, page 1,000",
        lambda place: [Request("GET", f"/post/?cursor={place.deep_cursor}")],
        lambda place: Script({}, ((posts.home, {**FIRST_PAGE, "cursor_id": str(place.deep_cursor)}),)),
        textbook_requests=lambda place: [Request("GET", f"/post/?offset={place.deep_offset}")],
        shared=True,
    )


def root_of_thread(place: Place) -> str:
    """The root of a great thread, for pgbench."""
    return f"1 + random(0, {place.layout.threads - 1}) * {place.layout.thread_span}"


def of_roots(path: str) -> Callable[[Place], list[Request]]:
    def requests(place: Place) -> list[Request]:
        roots = [1 + number * place.layout.thread_span for number in range(place.layout.threads)]
        return [Request("GET", path.format(root)) for root in roots]

    return requests


def post() -> Case:
    return Case(
        "post",
        "one post with replies",
        of_roots("/post/{}/"),
        lambda place: Script({"id": root_of_thread(place)}, ((posts.read, {"id": ":id"}),)),
        shared=True,
    )


def post_hot() -> Case:
    return Case(
        "post-hot",
        "one post, everybody the same",
        lambda place: [Request("GET", "/post/1/")],
        lambda place: Script({}, ((posts.read, {"id": "1"}),)),
        shared=True,
    )


def members(place: Place) -> range:
    """Some of the earlier members of a great thread, by their number in it: those with some twenty posts under them."""
    last = place.layout.thread_span // THREAD_STEP
    return range(max(1, last // 100), max(1, last // 50) + 1)


def thread_short() -> Case:
    def requests(place: Place) -> list[Request]:
        roots = [1 + number * place.layout.thread_span for number in range(place.layout.threads)]
        asked = [root + THREAD_STEP * member for root in roots for member in members(place)]
        return [Request("GET", f"/post/{post_id}/thread/") for post_id in asked]

    def script(place: Place) -> Script:
        some = members(place)
        member = f"{root_of_thread(place)} + {THREAD_STEP} * random({some[0]}, {some[-1]})"
        return Script({"id": member}, ((threads.thread, {"id": ":id"}),))

    return Case("thread-short", "a thread of some twenty", requests, script, in_textbook=False, shared=True)


def thread_hot() -> Case:
    def asked(place: Place) -> int:
        return 1 + THREAD_STEP * members(place)[0]

    return Case(
        "thread-hot",
        "a thread of some twenty, everybody the same",
        lambda place: [Request("GET", f"/post/{asked(place)}/thread/")],
        lambda place: Script({}, ((threads.thread, {"id": str(asked(place))}),)),
        in_textbook=False,
        shared=True,
    )


def thread() -> Case:
    return Case(
        "thread",
        "a thread of 500",
        of_roots("/post/{}/thread/"),
        lambda place: Script({"id": root_of_thread(place)}, ((threads.thread, {"id": ":id"}),)),
        in_textbook=False,
        shared=True,
    )


def of_authors(path: str) -> Callable[[Place], list[Request]]:
    def requests(place: Place) -> list[Request]:
        authors = [place.layout.author_ranked(rank) for rank in range(min(BUSIEST, place.layout.active))]
        drawn(place, path).shuffle(authors)
        return [Request("GET", path.format(f"user{author}")) for author in authors]

    return requests


def of_author(statement: Statement, page: Values) -> Callable[[Place], Script]:
    def script(place: Place) -> Script:
        layout = place.layout
        rank = f"random(0, {min(BUSIEST, layout.active) - 1})"
        author = f"{layout.first_active} + {rank} * {PRIME} % {layout.active}"
        return Script({"author": author}, ((statement, {**page, "username": "('user' || :author)"}),))

    return script


def user_posts() -> Case:
    return Case(
        "user-posts",
        "a user's posts",
        of_authors("/post/user/{}/"),
        of_author(posts.by_user_without_replies, FIRST_PAGE),
        shared=True,
    )


def profile() -> Case:
    return Case("profile", "profile", of_authors("/user/{}/"), of_author(users.find, {}))


def timeline(kind: str, title: str) -> Case:
    def requests(place: Place) -> list[Request]:
        first = place.layout.readers[kind].first
        return [Request("GET", "/user/timeline/", first + n) for n in range(place.layout.readers_of_a_kind)]

    def script(place: Place) -> Script:
        first = place.layout.readers[kind].first
        viewer = {"viewer": f"random({first}, {first + place.layout.readers_of_a_kind - 1})"}
        return Script(viewer, ((timelines.timeline_with_replies, {**FIRST_PAGE, **SIGNED_IN}),))

    return Case(f"timeline-{kind}", title, requests, script, shared=True, by_workers=kind == "ordinary")


def timeline_hot() -> Case:
    def reader(place: Place) -> int:
        return place.layout.readers["ordinary"].first

    return Case(
        "timeline-hot",
        "timeline, 50 followed, all as one reader",
        lambda place: [Request("GET", "/user/timeline/", reader(place))],
        lambda place: Script(
            {"viewer": str(reader(place))}, ((timelines.timeline_with_replies, {**FIRST_PAGE, **SIGNED_IN}),)
        ),
        shared=True,
    )


SIGNED_IN: Values = {"viewer": ":viewer", "session": ":viewer"}


def writer(place: Place, number: int) -> int:
    return place.layout.first_writer + number % place.layout.writers


def any_writer(place: Place) -> str:
    """A writer, for pgbench."""
    return f"random({place.layout.first_writer}, {place.layout.first_writer + place.layout.writers - 1})"


def publish() -> Case:
    def requests(place: Place) -> list[Request]:
        body = json.dumps({"text": TEXT})
        return [Request("POST", "/post/", writer(place, n), body) for n in range(place.layout.writers)]

    return Case(
        "publish",
        "publish",
        requests,
        lambda place: Script({"viewer": any_writer(place)}, ((posts.publish, {**SIGNED_IN, "text": f"'{TEXT}'"}),)),
        writes=True,
    )


def given_and_taken(likes_of: Callable[[Place], list[tuple[int, int]]]) -> Callable[[Place], list[Request]]:
    """A like by each, and then each of them taken back: so whoever goes round in a circle always changes something."""

    def requests(place: Place) -> list[Request]:
        pairs = likes_of(place)
        return [Request(method, f"/post/{post}/like/", user) for method in ("POST", "DELETE") for user, post in pairs]

    return requests


def like_and_unlike(variables: Values) -> Script:
    values = {**SIGNED_IN, "id": ":id"}
    return Script(variables, ((likes.like, values), (likes.unlike, values)))


def like() -> Case:
    def pairs(place: Place) -> list[tuple[int, int]]:
        random = drawn(place, "like")
        return [(writer(place, n), random.randint(1, place.layout.posts)) for n in range(DIFFERENT // 2)]

    return Case(
        "like",
        "like and unlike",
        given_and_taken(lambda place: list(dict.fromkeys(pairs(place)))),
        lambda place: like_and_unlike({"viewer": any_writer(place), "id": f"random(1, {place.layout.posts})"}),
        writes=True,
    )


def like_hot() -> Case:
    return Case(
        "like-hot",
        "like and unlike, all the same post",
        given_and_taken(lambda place: [(writer(place, n), place.layout.hot_post) for n in range(place.layout.writers)]),
        lambda place: like_and_unlike(
            {"viewer": f"{place.layout.first_writer} + :client_id", "id": str(place.layout.hot_post)}
        ),
        writes=True,
    )


def login() -> Case:
    def requests(place: Place) -> list[Request]:
        forms = (urlencode({"username": f"user{writer(place, n)}", "password": PASSWORD}) for n in range(100))
        return [Request("POST", "/token", body=form, media_type=FORM) for form in forms]

    return Case("login", "login", requests, None, writes=True)


CASES = (
    public_list(),
    deep_page(),
    post(),
    post_hot(),
    thread_short(),
    thread_hot(),
    thread(),
    user_posts(),
    timeline("ordinary", "timeline, 50 followed"),
    timeline_hot(),
    timeline("busy", "timeline, 1,000 followed"),
    timeline("keenest", "timeline, 5,000 followed"),
    timeline("silent", "timeline, the followed are silent"),
    profile(),
    publish(),
    like(),
    like_hot(),
    login(),
)
