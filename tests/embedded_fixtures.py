"""The directories of the tests of the embedded PostgreSQL: `pytest_plugins = "tests.embedded_fixtures"`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pamps.embedded import running
from tests.embedded import short_folder, stop_what_is_left


@pytest.fixture(scope="session")
def stopped() -> Iterator[Path]:
    """A directory that has been started and stopped."""
    with short_folder() as base:
        with running(base / "made"):
            pass
        yield base / "made"


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a short name, that every account can enter."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def new(base: Path) -> Path:
    """A directory that isn't there yet."""
    return base / "db"


@pytest.fixture
def made(stopped: Path) -> Iterator[Path]:
    """A directory with a database in it and no server, for tests that leave it so."""
    yield stopped
    stop_what_is_left(stopped)


@pytest.fixture
def copy(new: Path, stopped: Path) -> Path:
    """A directory with a database in it and no server, to be spoilt."""
    subprocess.run(["cp", "-a", str(stopped), str(new)], check=True)
    return new
