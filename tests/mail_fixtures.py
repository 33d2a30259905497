"""The fixture of the tests of services that mail: `pytest_plugins = "tests.mail_fixtures"`."""

from collections.abc import Callable, Iterator

import pytest

from tests.mailing import Place
from tests.processes import short_folder


@pytest.fixture
def place(migrated_database: Callable[[], str]) -> Iterator[Place]:
    with short_folder() as folder:
        yield Place(migrated_database(), folder)
