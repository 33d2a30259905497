"""Random histories, held against the model after each step and in every list at the end."""

from collections.abc import Callable
from typing import Any

import hypothesis
from httpx2 import Response
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine

from tests.api import Api, Signed, problem
from tests.conftest import empty_tables
from tests.factories import PASSWORD
from tests.model import Body, Model, Person, Post, Refused
from tests.reader import Reader
from tests.test_counters import recount

NAMES = [None, "Ada", "Ána Lívia", "ADAM", "Özlem", "ЁЖИК", "bob"]
TEXTS = ["Hello!", "مرحبا", "👩‍🚀", "'; DROP TABLE post; --", '{"a": "\\u0041"}', " spaces kept "]

# One of those there are, as chance has it. Up to OFTEN it is one that something can be done with, beyond that any.
some = st.integers(0, 30)
OFTEN = 24
limits = st.sampled_from([1, 2, 100])


class History(RuleBasedStateMachine):
    """Somebody does something, over and over; whatever the service answers, the model must answer too."""

    def __init__(self, api: Api, engine: Engine):
        super().__init__()
        self.api = api
        self.engine = engine
        self.model = Model()
        self.signed: dict[int, Signed] = {}
        self.users_ever: list[int] = []
        self.posts_ever: list[int] = []
        self.registered = 0
        self.agreed = True
        self.last_reader = (False, 3)
        with engine.begin() as connection:
            empty_tables(connection)

    def who(self, one: int) -> int:
        people = list(self.model.people)
        return people[one % len(people)]

    def anyone(self, one: int) -> int:
        """A user, be they here or gone."""
        return self.users_ever[one % len(self.users_ever)]

    def anything(self, one: int) -> int:
        """A post, be it there, a tombstone or gone."""
        alive = [post for post in self.posts_ever if self.model.is_alive(post)]
        posts = alive if alive and one <= OFTEN else self.posts_ever
        return posts[one % len(posts)]

    def author(self, one: int, post: int) -> int:
        """Whoever tries to change a post: its author, or somebody else."""
        known = self.model.posts.get(post)
        return known.author if known and known.author and one <= OFTEN else self.who(one)

    def answered(self, response: Response, expected: Callable[[], tuple[int, Any]]) -> None:
        """Let the model do the same, and compare what it answers."""
        self.agreed = False
        try:
            answer = expected()
        except Refused as refused:
            answer = refused.status, refused.code
        assert outcome(response) == answer
        self.agreed = True

    @initialize(names=st.lists(st.sampled_from(NAMES), min_size=3, max_size=3), signed_in=st.booleans(), limit=limits)
    def begin(self, names: list[str | None], signed_in: bool, limit: int) -> None:
        """They know one another, and one of them has something to say."""
        self.last_reader = signed_in, limit
        for name in names:
            self.register(name)
        for one in range(3):
            self.follow(one, one + 1, back=False)
            self.follow(one, one + 2, back=False)
        self.publish(0, TEXTS[0])

    @precondition(lambda self: len(self.model.people) < 6)
    @rule(name=st.sampled_from(NAMES))
    def register(self, name: str | None) -> None:
        self.registered += 1
        username = f"Person{self.registered}"
        account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
        answer = self.api.post("/user/", json={**account, "name": name}).json()
        self.agreed = False
        self.model.register(Person(answer["id"], username, name, answer["created_at"]))
        assert answer == self.model.user(answer["id"], None)
        form = {"username": username, "password": PASSWORD}
        self.signed[answer["id"]] = self.api.as_(self.api.post("/token", data=form).json()["access_token"])
        self.users_ever.append(answer["id"])
        self.agreed = True

    def published(self, viewer: int, words: str, parent: int | None) -> None:
        response = self.signed[viewer].post("/post/", json={"text": words, "parent_id": parent})

        def expected() -> tuple[int, Body]:
            self.model.may_reply(parent)
            new = response.json()
            post = Post(new["id"], viewer, parent, words, new["date"])
            assert post.id not in self.posts_ever
            self.posts_ever.append(post.id)
            self.model.publish(post)
            return 201, self.model.post(post, viewer)

        self.answered(response, expected)

    @rule(who=some, words=st.sampled_from(TEXTS))
    def publish(self, who: int, words: str) -> None:
        self.published(self.who(who), words, None)

    @rule(who=some, parent=some, words=st.sampled_from(TEXTS))
    def reply(self, who: int, parent: int, words: str) -> None:
        self.published(self.who(who), words, self.anything(parent))

    @rule(parent=some, length=st.integers(2, 4))
    def converse(self, parent: int, length: int) -> None:
        """Replies to replies, so that threads grow deep and not only wide."""
        for turn in range(length):
            self.published(self.who(turn), TEXTS[turn], self.posts_ever[-1] if turn else self.anything(parent))

    @rule(who=some, post=some, words=st.sampled_from(TEXTS))
    def edit(self, who: int, post: int, words: str) -> None:
        target = self.anything(post)
        viewer = self.author(who, target)
        response = self.signed[viewer].patch(f"/post/{target}/", json={"text": words})

        def expected() -> tuple[int, Body]:
            self.model.edit(viewer, target, words)
            changed = self.model.posts[target]
            changed.edited_at = response.json()["edited_at"]
            assert changed.edited_at > changed.date
            return 200, self.model.post(changed, viewer)

        self.answered(response, expected)

    @rule(who=some, post=some)
    def delete(self, who: int, post: int) -> None:
        target = self.anything(post)
        viewer = self.author(who, target)

        def expected() -> tuple[int, None]:
            self.model.delete(viewer, target)
            return 204, None

        self.answered(self.signed[viewer].delete(f"/post/{target}/"), expected)

    @rule(who=some, post=some, back=st.booleans())
    def like(self, who: int, post: int, back: bool) -> None:
        viewer, target = self.who(who), self.anything(post)

        def expected() -> tuple[int, Body]:
            status = 201 if not back and self.model.like(viewer, target) else 200
            if back:
                self.model.unlike(viewer, target)
            return status, self.model.post(self.model.posts[target], viewer)

        self.answered(self.signed[viewer].request("DELETE" if back else "POST", f"/post/{target}/like/"), expected)

    @rule(who=some, whom=some, back=st.booleans())
    def follow(self, who: int, whom: int, back: bool) -> None:
        viewer, target = self.who(who), self.anyone(whom)

        def expected() -> tuple[int, Body]:
            status = 201 if not back and self.model.follow(viewer, target) else 200
            if back:
                self.model.unfollow(viewer, target)
            return status, self.model.user(target, viewer)

        self.answered(self.signed[viewer].request("DELETE" if back else "POST", f"/user/follow/{target}/"), expected)

    @precondition(lambda self: len(self.model.people) > 1)
    @rule(who=some)
    def leave(self, who: int) -> None:
        viewer = self.who(who)
        response = self.signed[viewer].request("DELETE", "/user/me/", json={"password": PASSWORD})

        def expected() -> tuple[int, None]:
            self.model.leave(viewer)
            return 204, None

        self.answered(response, expected)
        assert problem(self.signed.pop(viewer).get("/post/")) == (401, "session-ended")

    @rule(who=st.none() | some, person=some, post=some, limit=limits)
    def something_is_read(self, who: int | None, person: int, post: int, limit: int) -> None:
        """A person and a post, by somebody, or by nobody in particular."""
        reader = self.reader(None if who is None else self.who(who), limit)
        self.agreed = False
        reader.reads_person(self.model.people[self.who(person)])
        reader.reads_post(self.anything(post))
        self.agreed = True

    def keenest(self) -> int:
        """Who follows the most, and so has the longest timeline."""
        return max(self.model.people, key=lambda person: sum(who == person for who, _ in self.model.follows))

    def reader(self, viewer: int | None, limit: int) -> Reader:
        return Reader(self.model, self.api if viewer is None else self.signed[viewer], viewer, limit)

    def teardown(self) -> None:
        """The end of every history that agreed so far: everything is read."""
        if self.agreed:
            signed_in, limit = self.last_reader
            reader = self.reader(self.keenest() if signed_in else None, limit)
            reader.reads_what_is_everybodys()
            for person in self.model.people.values():
                reader.reads_person(person)
            for post in self.posts_ever:
                reader.reads_post(post)
            recount(self.engine)


def outcome(response: Response) -> tuple[int, Any]:
    """The status of an answer and its body; of an error, its code."""
    if response.is_error:
        return problem(response)
    return response.status_code, response.json() if response.content else None


def test_whatever_happens_the_service_answers_as_the_model_does(running: Api, engine: Engine) -> None:
    of_profile = hypothesis.settings()
    chosen = hypothesis.settings(of_profile, max_examples=of_profile.max_examples // 5, stateful_step_count=30)
    run_state_machine_as_test(lambda: History(running, engine), settings=chosen)  # type: ignore[arg-type]
