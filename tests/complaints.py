"""What a log tells of that should not have happened: of both of its forms, and past them."""

import json
import re

COLOUR = re.compile(r"\x1b\[[\d;]*m")
# A line for people: what happened, the logger, the request. A traceback below it has no such heading as Python's own.
TEXT = re.compile(r"\S+Z \[(?:error|critical) *\] (.*?)(?: \[[\w.]+\](?: id=\S+)?)?")
# What Python says past the log: that something failed, or is not as it should be.
PYTHON = re.compile(r"Traceback \(most recent call last\):|Fatal Python error: |\S+:\d+: \w*Warning: ")


def complaints(log: str) -> list[str]:
    """The errors, and what Python said past the log, line by line. A line that has no end yet is left out."""
    found = (complaint(line) for line in COLOUR.sub("", log).split("\n")[:-1])
    return [one for one in found if one]


def complaint(line: str) -> str:
    if line.startswith("{"):
        told = json.loads(line)
        return str(told["event"]) if told["level"] in ("error", "critical") else ""
    if error := TEXT.fullmatch(line):
        return error[1]
    return line if PYTHON.search(line) else ""
