"""`pamps` in a process whose clock can be set while it runs: `python tests/jumping.py FILE serve ...`.

FILE holds by how many seconds the clock is ahead, for whatever in the process asks Python for the time of day.
"""

import datetime
import sys
import time
from pathlib import Path
from typing import Any

AHEAD = Path(sys.argv[1])
true_time = time.time


def jumping_time() -> float:
    return true_time() + float(AHEAD.read_text())


class JumpingDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.fromtimestamp(jumping_time(), tz)


if __name__ == "__main__":
    time.time = jumping_time
    datetime.datetime = JumpingDatetime  # type: ignore[misc]
    sys.argv[1:2] = []
    from pamps.cli import main

    main()
