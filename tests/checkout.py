"""A fresh clone of what stands here: what git tracks, and what it would if it were added."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Of what is installed for one test, most is never imported; pip takes as long to compile it as for all the rest.
UNCOMPILED = {"PIP_COMPILE": "0"}


def fresh_clone(to: Path) -> Path:
    """Copy the sources into a new folder, without anything that was built or installed here."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():  # not one that is about to be deleted
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to
