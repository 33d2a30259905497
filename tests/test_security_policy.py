"""SECURITY.md names the tests that show what it says: they are there."""

import re
from itertools import groupby

from tests.checkout import ROOT

NAMED = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", (ROOT / "SECURITY.md").read_text())


def test_every_test_that_is_named_is_there() -> None:
    assert len(NAMED) > 30
    for file, names in groupby(sorted(NAMED), key=lambda one: one[0]):
        defined = re.findall(r"^(?:async )?def (test_\w+)", (ROOT / "tests" / file).read_text(), re.MULTILINE)
        assert {name for _, name in names if name} <= set(defined), file
