"""A mapping that stays small, whoever fills it."""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps the last `most` that were set or got for sure, and never more than twice as many.

    Each counts as one, or as much as `weigh` says. Of two generations the older one is dropped as a whole when the
    younger one is full; what is got joins the younger. So nothing is ever searched for what is the oldest, and what is
    asked for again and again stays.
    """

    def __init__(self, most: int, weigh: Callable[[Value], int] = lambda value: 1):
        self.most = most
        self.weigh = weigh
        self.weight = 0  # of the young
        self.young: dict[Key, Value] = {}
        self.old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def __setitem__(self, key: Key, value: Value) -> None:
        self.pop(key)
        if self.weight >= self.most:
            self.old, self.young, self.weight = self.young, {}, 0
        self.young[key] = value
        self.weight += self.weigh(value)

    def get(self, key: Key) -> Value | None:
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key)
            if found is not None:
                self[key] = found
        return found

    def clear(self) -> None:
        self.young.clear()
        self.old.clear()
        self.weight = 0

    def pop(self, key: Key) -> None:
        self.old.pop(key, None)
        if key in self.young:
            self.weight -= self.weigh(self.young.pop(key))
