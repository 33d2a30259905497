"""SECURITY.md names the tests that show what it says: they are there."""

import re
from itertools import groupby

from tests.checkout import ROOT

# An exception of bandit: the numbers of its rules, and a reason.
EXCEPTION = re.compile(r"# nosec (B\d{3})(, B\d{3})* # \w.{9,}")

NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text())


def test_every_test_that_is_named_is_there() -> None:
    assert len(NAMED) > 30
    assert len(NAMED) == len(re.findall(r"test_\w+\.py", (ROOT / "SECURITY.md").read_text()))  # none is a whole file
    for file, names in groupby(sorted(NAMED), key=lambda one: one[0]):
        defined = re.findall(r"^(?:async )?def (test_\w+)", (ROOT / "tests" / file).read_text(), re.MULTILINE)
        assert {name for _, name in names} <= set(defined), file


def test_every_exception_of_bandit_has_its_reason_beside_it() -> None:
    found = re.findall(
        r"^.*nosec.*$", "\n".join(file.read_text() for file in (ROOT / "pamps").rglob("*.py")), re.MULTILINE
    )
    assert len(found) > 10
    assert [line for line in found if not EXCEPTION.search(line)] == []
