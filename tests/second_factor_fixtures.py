"""Ada's second factor, and its clock: `pytest_plugins = "tests.second_factor_fixtures"`."""

import pytest

from pamps import codes
from pamps.models import User
from tests.factories import World
from tests.second_factor import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(codes, "clock", clock)
    return clock


@pytest.fixture
def secret(world: World, ada: User, clock: Clock) -> str:
    """The secret of ada's second factor, which is on."""
    return world.second_factor(ada)
