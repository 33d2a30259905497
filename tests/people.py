"""People in a test: a user, and the API as that user sees it."""

from tests.api import Api, Signed
from tests.factories import World


class Someone(Signed):
    """A user who is signed in: `ada.post("/post/", ...)` is the API, `ada.user` the row."""

    def __init__(self, api: Api, world: World, username: str):
        self.user = world.user(username)
        super().__init__(api, world.sign_in(self.user)[0])
        self.summary = {"id": self.user.id, "username": username, "name": None, "avatar": None}
