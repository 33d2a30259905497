"""A mapping that stays small, whoever fills it."""

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Keeps the last `most` that were set or got for sure, and never more than twice as many.

    Of two generations the older one is dropped as a whole when the younger one is full; what is got joins the younger.
    So nothing is ever searched for what is the oldest, and what is asked for again and again stays.
    """

    def __init__(self, most: int):
        self.most = most
        self.young: dict[Key, Value] = {}
        self.old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def __setitem__(self, key: Key, value: Value) -> None:
        if len(self.young) >= self.most and key not in self.young:
            self.turn()
        self.old.pop(key, None)
        self.young[key] = value

    def get(self, key: Key) -> Value | None:
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key)
            if found is not None:
                self[key] = found
        return found

    def turn(self) -> None:
        """Drop the older generation, and begin a younger one."""
        self.old, self.young = self.young, {}

    def clear(self) -> None:
        self.young.clear()
        self.old.clear()

    def pop(self, key: Key) -> None:
        self.young.pop(key, None)
        self.old.pop(key, None)
