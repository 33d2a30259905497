"""What the API pages are made of: the published files, unmodified."""

import hashlib
import re

from tests.checkout import ROOT

STATIC = ROOT / "pamps" / "static"
OURS = {"README.md", "index.html"}


def test_the_files_are_those_that_their_readme_names() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (STATIC / "README.md").read_text(), re.MULTILINE)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STATIC.iterdir()}
    assert {name: digest for name, digest in found.items() if name not in OURS} == dict(rows)
