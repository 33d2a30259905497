"""The fixture of the tests of services that mail: `pytest_plugins = "tests.mail_fixtures"`."""

from collections.abc import Callable, Iterator

import pytest

from pamps import startup
from tests.mailing import Place
from tests.processes import short_folder


@pytest.fixture
def place(new_database: Callable[[], str]) -> Iterator[Place]:
    uri = new_database()
    startup.migrate(uri)
    with short_folder() as folder:
        yield Place(uri, folder)
