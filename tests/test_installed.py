"""Pamps as its users get it: installed by pip into an environment of its own, and run from somewhere else."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pamps import __version__
from tests.checkout import UNCOMPILED, fresh_clone
from tests.factories import PASSWORD
from tests.processes import environment, pamps, serving, short_folder

INSTALLING = 600  # seconds; most of it pip's, and the network's


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def install(clone: Path, folder: Path) -> str:
    """The command `pamps`, out of a new virtual environment."""
    # Without a pip of its own, which takes longer than it takes this one to do the work.
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = (sys.executable, "-m", "pip", "--python", folder, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", f"{clone}[embedded]")
    return str(folder / "bin" / "pamps")


def run(*command: str | Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | UNCOMPILED
    done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=INSTALLING, check=False)
    assert done.returncode == 0, done.stderr


def files(package: Path) -> set[str]:
    found = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    return {str(path) for path in found if "__pycache__" not in path.parts}


# One test, so that what takes its time is done once, however the tests are divided among processes.
def test_pamps_installed_by_pip_has_all_that_it_needs_and_serves_from_any_folder(folder: Path) -> None:
    clone = fresh_clone(folder / "clone")
    command = (install(clone, folder / "venv"),)
    (package,) = (folder / "venv").glob("lib/python*/site-packages/pamps")
    assert files(package) == files(clone / "pamps")
    assert not [name for name in ("tests", "benchmarks", "postgres") if (package.parent / name).exists()]
    shutil.rmtree(clone)

    home, elsewhere = folder / "home", folder / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    env |= {"HOME": str(home), "PAMPS_DB__embedded_dir": str(folder / "db")}
    version = pamps("--version", cwd=elsewhere, env=env, command=command)
    assert (version.returncode, version.stdout) == (0, f"{__version__}\n")
    with serving(elsewhere, env, command=command) as server:
        # It is ready: the database is made and migrated. Then the page with its scripts and styles, and a first user.
        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', server.get("/docs").text)
        assert len(assets) >= 3
        assert {server.status(path) for path in ("/", "/redoc", "/openapi.json", *assets)} == {200}
        add = ("adduser", "ada@example.com", "ada", "--password-stdin")
        added = pamps(*add, cwd=elsewhere, env=env, stdin=f"{PASSWORD}\n", command=command)
        assert (added.returncode, added.stderr) == (0, "")
        assert server.publish(server.sign_in("ada"), "Hello!").status_code == 201
        assert server.texts() == {"Hello!"}
        assert server.stop() == 0
    assert [path.name for path in elsewhere.iterdir()] == [server.log.name]
    assert list(home.iterdir()) == []
