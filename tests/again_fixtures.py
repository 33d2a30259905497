"""Who sends again, in the tests of `Idempotency-Key`: `pytest_plugins = "tests.again_fixtures"`."""

import pytest

from pamps.models import User
from tests.api import Api, Signed
from tests.factories import World


@pytest.fixture
def ada(world: World) -> User:
    """Who may ask for whatever the operations name: bob is user 1, and post 1 is his."""
    world.post(by=world.user("bob"))
    return world.user("ada")


@pytest.fixture
def as_ada(api: Api, world: World, ada: User) -> Signed:
    return api.as_(world.sign_in(ada)[0])
