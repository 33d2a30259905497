"""run.sh and test.sh: what they install, when, and what they say where that can't be. pip and the checks are ours."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkout import ROOT

# A Python that makes environments in which every command writes down how it was called, and fails if it is told to.
PYTHON = """#!/bin/sh
echo "python $*" >>called
case "$*" in "-m venv "*) ;; *) exit 0 ;; esac
[ -e no-venv ] && mkdir -p .venv/bin && cp "$0" .venv/bin/python && exit 1
rm -rf .venv && mkdir -p .venv/bin
for name in python pip pamps pytest ruff mypy lint-imports bandit; do
    cat >".venv/bin/$name" <<'COMMAND'
#!/bin/sh
name=${0##*/}
echo "$name $*" >>called
[ ! -e "fails-$name" ] || { cat "fails-$name"; exit 1; }
COMMAND
    chmod +x ".venv/bin/$name"
done
"""


class Folder:
    def __init__(self, path: Path):
        self.path = path
        for name in ("run.sh", "test.sh", "install.sh", "setup.py", "requirements.in"):
            shutil.copy2(ROOT / name, path / name)
        for name in ("requirements.txt", "requirements-dev.txt"):
            (path / name).write_text(name)
        (path / "python").write_text(PYTHON)
        (path / "python").chmod(0o755)

    def run(self, *command: str) -> tuple[int, list[str], str]:
        """The exit code of a script, how it called pip and venv, and all that it said."""
        called = self.path / "called"
        called.write_text("")
        env = {"PATH": os.environ["PATH"], "PYTHON": str(self.path / "python")}
        done = subprocess.run(
            command, cwd=self.path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode, called.read_text().splitlines(), done.stdout

    def installs(self, *command: str) -> list[str]:
        """What a script that succeeds has pip install."""
        code, called, said = self.run(*command)
        assert code == 0, said
        return [line.split()[-1] for line in called if line.startswith("pip ")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


RUN, TEST = ("./run.sh",), ("./test.sh", "-k", "like")


def test_what_is_installed_is_not_installed_again(folder: Folder) -> None:
    assert folder.installs(*RUN) == ["requirements.txt", ".[embedded]"]
    assert folder.installs(*TEST) == ["requirements-dev.txt"]
    assert [folder.installs(*script) for script in (RUN, TEST, RUN)] == [[], [], []]
    (folder.path / "requirements.txt").write_text("changed")
    assert folder.installs(*TEST) == ["requirements.txt"]
    (folder.path / "setup.py").write_text("changed")
    assert folder.installs(*RUN) == [".[embedded]"]


@pytest.mark.parametrize("script", [RUN, TEST])
def test_an_install_that_fails_ends_it_and_is_tried_again(folder: Folder, script: tuple[str, ...]) -> None:
    (folder.path / "fails-pip").write_text("no network\n")
    for _ in range(2):
        code, called, said = folder.run(*script)
        assert (code, said) == (1, "Installing requirements.txt into .venv ...\nno network\n")
        assert [line for line in called if not line.startswith("python ")] == [
            "pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt"
        ]
    (folder.path / "fails-pip").unlink()
    assert folder.installs(*script)[0] == "requirements.txt"


@pytest.mark.parametrize("script", [RUN, TEST])
def test_an_environment_half_made_is_made_again(folder: Folder, script: tuple[str, ...]) -> None:
    (folder.path / "no-venv").touch()
    code, called, said = folder.run(*script)
    assert (code, called[1:]) == (1, ["python -m venv --clear .venv"])
    assert said.splitlines() == [
        f"{folder.path}/python can't make .venv; on Debian and Ubuntu: apt install python3-venv"
    ]
    assert (folder.path / ".venv" / "bin" / "python").exists()
    (folder.path / "no-venv").unlink()
    assert folder.installs(*script)[0] == "requirements.txt"


def test_each_check_is_a_line_and_the_tests_that_fail_are_named_last(folder: Folder) -> None:
    code, _, said = folder.run("./test.sh")
    checks = ["format", "lint", "types", "imports", "security", "migrations", "tests"]
    assert (code, [line.split()[:2] for line in said.splitlines()[3:]]) == (0, [["ok", check] for check in checks])
    (folder.path / "fails-pytest").write_text(
        "FAILED tests/test_like.py::test_a - assert\nERROR tests/x.py\n1 failed\n"
    )
    code, _, said = folder.run("./test.sh")
    assert code == 1
    assert said.splitlines()[-2:] == ["FAILED tests/test_like.py::test_a - assert", "ERROR tests/x.py"]
