"""The fixtures of the tests that have a PostgreSQL to stop and kill: `pytest_plugins = "tests.cluster_fixtures"`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pamps import startup
from pamps.embedded import running
from tests.clusters import Cluster
from tests.processes import short_folder


@pytest.fixture(scope="session")
def original() -> Iterator[Path]:
    """The directory of a server with the tables in it; only to be copied."""
    with short_folder() as folder:
        with running(folder / "db") as uri:
            startup.migrate(uri)
        yield folder / "db"


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def cluster(folder: Path, original: Path) -> Iterator[Cluster]:
    """A server with the tables in it, down."""
    subprocess.run(["cp", "-a", original, folder / "db"], check=True)
    cluster = Cluster(folder / "db")
    yield cluster
    cluster.leave()
