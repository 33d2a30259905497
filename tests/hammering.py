"""Readers who ask all the while somebody writes: none of them may see less than was acknowledged when they asked."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx2

from tests.processes import DEADLINE

Headers = dict[str, str]


def read_while_written(
    url: str,
    write: Callable[[httpx2.Client, int], httpx2.Response],
    times: int,
    asked: list[tuple[str, Headers]],
    latest: Callable[[Any], int],
) -> int:
    """Write the numbers from 1, and let a reader for each path and headers see that the latest is in each answer.

    So no two answers go back in time either. How many answers there were.
    """
    acknowledged, over = [0], Event()

    def keep_writing() -> None:
        try:
            with httpx2.Client(base_url=url, timeout=DEADLINE) as client:
                for number in range(1, times + 1):
                    assert write(client, number).is_success
                    acknowledged[0] = number
        finally:
            over.set()

    def keep_reading(path: str, headers: Headers) -> int:
        answers = 0
        with httpx2.Client(base_url=url, headers=headers, timeout=DEADLINE) as client:
            while not over.is_set():
                before = acknowledged[0]
                found = client.get(path, headers={"Connection": "close"} if answers % 5 == 0 else {})
                assert latest(found.json()) >= before
                answers += 1
        return answers

    with ThreadPoolExecutor(len(asked) + 1) as threads:
        readers = [threads.submit(keep_reading, *one) for one in asked]
        threads.submit(keep_writing).result(DEADLINE)
        return sum(reader.result(DEADLINE) for reader in readers)
