"""Reads the service through the API, page by page, and holds what it finds against the model."""

from typing import Any
from urllib.parse import urlencode

from tests.api import Api, Signed, problem
from tests.model import Model, Person
from tests.pages import every_page

STARTS = ["a", "ADÁ", "person1", "ёж", "x"]


class Reader:
    """Somebody, or nobody in particular, who reads so many items a page."""

    def __init__(self, model: Model, client: Api | Signed, viewer: int | None, limit: int):
        self.model = model
        self.client = client
        self.viewer = viewer
        self.limit = limit

    def listed(self, path: str, **query: Any) -> list[Any]:
        return every_page(self.client, f"{path}?{urlencode({'limit': self.limit, **query})}")

    def reads_what_is_everybodys(self) -> None:
        model, viewer = self.model, self.viewer
        assert self.listed("/post/") == model.home(viewer)
        assert self.listed("/user/") == model.search("", viewer)
        for start in STARTS:
            assert self.listed("/user/", q=start) == model.search(start, viewer)
        if viewer is not None:
            assert self.listed("/user/timeline/") == model.timeline(viewer, include_replies=True)
            alone = self.listed("/user/timeline/", include_replies=False)
            assert alone == model.timeline(viewer, include_replies=False)

    def reads_person(self, person: Person) -> None:
        model, viewer, name = self.model, self.viewer, person.username
        assert self.client.get(f"/user/{name}/").json() == model.user(person.id, viewer)
        assert self.listed(f"/post/user/{name}/") == model.newest({person.id}, viewer, include_replies=False)
        everything = self.listed(f"/post/user/{name}/", include_replies=True)
        assert everything == model.newest({person.id}, viewer, include_replies=True)
        assert self.listed(f"/post/likes/{name}/") == model.liked_posts(person.id, viewer)
        assert self.listed(f"/user/{name}/followers/") == model.followers(person.id, viewer)
        assert self.listed(f"/user/{name}/following/") == model.following(person.id, viewer)

    def reads_post(self, post: int) -> None:
        model, viewer = self.model, self.viewer
        shown, thread = self.client.get(f"/post/{post}/"), self.client.get(f"/post/{post}/thread/")
        if post in model.posts:
            assert thread.json() == model.thread(post, viewer)
        else:
            assert problem(thread) == (404, "post-not-found")
        if model.is_alive(post):
            assert shown.json() == model.read(post, viewer)
            assert self.listed(f"/post/{post}/replies/") == model.replies(post, viewer)
            assert self.listed(f"/post/{post}/likes/") == model.liked_by(post)
        else:
            assert problem(shown) == (404, "post-not-found")
            assert problem(self.client.get(f"/post/{post}/replies/")) == (404, "post-not-found")
            assert problem(self.client.get(f"/post/{post}/likes/")) == (404, "post-not-found")
