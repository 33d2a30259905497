"""The databases of the tests of the commands: `pytest_plugins = "tests.command_fixtures"`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Commands


@pytest.fixture
def pamps(empty: None, uri: str, tmp_path: Path) -> Commands:
    """On a migrated database with empty tables."""
    return Commands(uri, tmp_path)


@pytest.fixture
def anew(new_database: Callable[[], str], tmp_path: Path) -> Commands:
    """On a database without any table."""
    return Commands(new_database(), tmp_path)


@pytest.fixture
def apart(migrated_database: Callable[[], str], tmp_path: Path) -> Commands:
    """On a migrated database of its own, to be spoilt."""
    return Commands(migrated_database(), tmp_path)
