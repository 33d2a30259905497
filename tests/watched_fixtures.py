"""Who watches the hashing of passwords: `pytest_plugins = "tests.watched_fixtures"`."""

import pytest

from tests.api import Api
from tests.watched import Watched


@pytest.fixture
def watched(api: Api, monkeypatch: pytest.MonkeyPatch) -> Watched:
    passwords = api.application.state.passwords
    watched = Watched(passwords.context)
    monkeypatch.setattr(passwords, "context", watched)
    return watched
