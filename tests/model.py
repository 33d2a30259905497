"""The service in plain Python: what every list, counter and thread must be after any history.

It is told the ids and the times, which the database gives, and computes everything else anew from what happened.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any

THREAD_MAX = 500

Body = dict[str, Any]


class Refused(Exception):
    """The status and the code of the error that the service must answer."""

    def __init__(self, status: int, code: str):
        super().__init__(status, code)
        self.status = status
        self.code = code


NO_POST = Refused(404, "post-not-found")
NO_USER = Refused(404, "user-not-found")


@dataclass
class Person:
    id: int
    username: str
    name: str | None
    created_at: str


@dataclass
class Post:
    """A post; without an author it is a tombstone."""

    id: int
    author: int | None
    parent: int | None
    text: str
    date: str
    edited_at: str | None = None


class Model:
    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.posts: dict[int, Post] = {}
        # Pairs of who and what or whom, oldest first.
        self.likes: list[tuple[int, int]] = []
        self.follows: list[tuple[int, int]] = []

    # What happens.

    def is_alive(self, post: int) -> bool:
        return post in self.posts and self.posts[post].author is not None

    def alive(self, post: int) -> Post:
        if not self.is_alive(post):
            raise NO_POST
        return self.posts[post]

    def own(self, viewer: int, post: int) -> Post:
        found = self.alive(post)
        if found.author != viewer:
            raise Refused(403, "not-the-author")
        return found

    def register(self, person: Person) -> None:
        self.people[person.id] = person

    def may_reply(self, parent: int | None) -> None:
        if parent is not None and not self.is_alive(parent):
            raise Refused(404, "parent-not-found")

    def publish(self, post: Post) -> None:
        self.posts[post.id] = post

    def edit(self, viewer: int, post: int, text: str) -> None:
        self.own(viewer, post).text = text

    def delete(self, viewer: int, post: int) -> None:
        self.empty(self.own(viewer, post))
        self.prune()

    def empty(self, post: Post) -> None:
        post.author, post.text, post.edited_at = None, "", None
        self.likes = [(who, what) for who, what in self.likes if what != post.id]

    def prune(self) -> None:
        """Tombstones go when nothing is under them; children have higher ids, so from the newest one pass will do."""
        for post in sorted(self.posts.values(), key=lambda post: -post.id):
            if post.author is None and not self.under(post.id):
                del self.posts[post.id]

    def like(self, viewer: int, post: int) -> bool:
        """Whether it is new."""
        self.alive(post)
        return add(self.likes, (viewer, post))

    def unlike(self, viewer: int, post: int) -> None:
        self.alive(post)
        remove(self.likes, (viewer, post))

    def follow(self, viewer: int, whom: int) -> bool:
        """Whether it is new."""
        if whom not in self.people:
            raise NO_USER
        if whom == viewer:
            raise Refused(409, "self-follow")
        return add(self.follows, (viewer, whom))

    def unfollow(self, viewer: int, whom: int) -> None:
        if whom not in self.people:
            raise NO_USER
        remove(self.follows, (viewer, whom))

    def leave(self, viewer: int) -> None:
        del self.people[viewer]
        self.likes = [(who, what) for who, what in self.likes if who != viewer]
        self.follows = [pair for pair in self.follows if viewer not in pair]
        for post in list(self.posts.values()):
            if post.author == viewer:
                self.empty(post)
        self.prune()

    # What is seen. A viewer of None is nobody.

    def under(self, post: int) -> list[Post]:
        """The direct replies, tombstones too, oldest first."""
        return sorted((reply for reply in self.posts.values() if reply.parent == post), key=lambda reply: reply.id)

    def summary(self, person: int) -> Body:
        found = self.people[person]
        return {"id": found.id, "username": found.username, "name": found.name, "avatar": None}

    def user(self, person: int, viewer: int | None) -> Body:
        return {
            **self.summary(person),
            "bio": None,
            "created_at": self.people[person].created_at,
            "post_count": sum(post.author == person for post in self.posts.values()),
            "follower_count": sum(whom == person for _, whom in self.follows),
            "following_count": sum(who == person for who, _ in self.follows),
            "is_following": None if viewer is None else (viewer, person) in self.follows,
            "is_followed_by": None if viewer is None else (person, viewer) in self.follows,
        }

    def users(self, people: list[int], viewer: int | None) -> list[Body]:
        return [self.user(person, viewer) for person in people]

    def post(self, post: Post, viewer: int | None) -> Body:
        return {
            "id": post.id,
            "text": post.text,
            "date": post.date,
            "edited_at": post.edited_at,
            "user_id": post.author,
            "parent_id": post.parent,
            "user": None if post.author is None else self.summary(post.author),
            "deleted": post.author is None,
            "like_count": sum(what == post.id for _, what in self.likes),
            "reply_count": sum(reply.author is not None for reply in self.under(post.id)),
            "liked": None if viewer is None else (viewer, post.id) in self.likes,
        }

    def read(self, post: int, viewer: int | None) -> Body:
        return {**self.post(self.alive(post), viewer), "replies": self.replies(post, viewer)[:20]}

    def replies(self, post: int, viewer: int | None) -> list[Body]:
        self.alive(post)
        return [self.post(reply, viewer) for reply in self.under(post) if reply.author is not None]

    def newest(self, authors: set[int], viewer: int | None, include_replies: bool) -> list[Body]:
        """What some people wrote, newest first."""
        found = [post for post in self.posts.values() if post.author in authors]
        shown = [post for post in found if include_replies or post.parent is None]
        return [self.post(post, viewer) for post in sorted(shown, key=lambda post: -post.id)]

    def home(self, viewer: int | None) -> list[Body]:
        return self.newest(set(self.people), viewer, include_replies=False)

    def timeline(self, viewer: int, include_replies: bool) -> list[Body]:
        return self.newest({whom for who, whom in self.follows if who == viewer}, viewer, include_replies)

    def liked_by(self, post: int) -> list[Body]:
        self.alive(post)
        return [self.summary(who) for who, what in reversed(self.likes) if what == post]

    def liked_posts(self, person: int, viewer: int | None) -> list[Body]:
        return [self.post(self.posts[what], viewer) for who, what in reversed(self.likes) if who == person]

    def followers(self, person: int, viewer: int | None) -> list[Body]:
        return self.users([who for who, whom in reversed(self.follows) if whom == person], viewer)

    def following(self, person: int, viewer: int | None) -> list[Body]:
        return self.users([whom for who, whom in reversed(self.follows) if who == person], viewer)

    def search(self, start: str, viewer: int | None) -> list[Body]:
        """Everybody whose username or name begins so, newest first; everybody at all for an empty start."""
        found = [
            person.id
            for person in self.people.values()
            if any(fold(name).startswith(fold(start)) for name in (person.username, person.name) if name)
        ]
        return self.users(sorted(found, reverse=True), viewer)

    def thread(self, post: int, viewer: int | None) -> Body:
        if post not in self.posts:
            raise NO_POST
        above: list[Post] = []
        parent = self.posts[post].parent
        while parent is not None:
            above.insert(0, self.posts[parent])
            parent = self.posts[parent].parent
        below = self.below(post)
        return {
            "ancestors": [self.post(found, viewer) for found in above],
            "post": self.post(self.posts[post], viewer),
            "descendants": [self.post(found, viewer) for found in below[:THREAD_MAX]],
            "truncated": len(below) > THREAD_MAX,
        }

    def below(self, post: int) -> list[Post]:
        """Everything under a post, depth-first."""
        return [found for reply in self.under(post) for found in (reply, *self.below(reply.id))]


def add(pairs: list[tuple[int, int]], pair: tuple[int, int]) -> bool:
    if pair in pairs:
        return False
    pairs.append(pair)
    return True


def remove(pairs: list[tuple[int, int]], pair: tuple[int, int]) -> None:
    if pair in pairs:
        pairs.remove(pair)


def fold(name: str) -> str:
    """A name without case and accents."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not "\u0300" <= letter <= "\u036f").lower()
