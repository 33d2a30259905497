"""A mapping that stays small: what it keeps for sure, and what it drops."""

from pamps.recent import Recent


def test_it_gives_what_was_set() -> None:
    recent: Recent[str, int] = Recent(2)
    recent["a"] = 1
    recent["a"] = 2
    assert (recent.get("a"), recent.get("b"), len(recent)) == (2, None, 1)
    recent.pop("a")
    assert (recent.get("a"), len(recent)) == (None, 0)


def test_the_last_ones_are_there_for_sure_and_never_more_than_twice_as_many() -> None:
    recent: Recent[int, str] = Recent(100)
    for number in range(1000):
        recent[number] = str(number)
        assert len(recent) <= 200
    assert [recent.get(number) for number in range(900, 1000)] == [str(number) for number in range(900, 1000)]
    assert recent.get(799) is None


def test_what_is_asked_for_stays() -> None:
    recent: Recent[int, str] = Recent(100)
    recent[-1] = "here"
    for number in range(1000):
        recent[number] = str(number)
        if number % 50 == 0:
            assert recent.get(-1) == "here"
    recent.clear()
    assert len(recent) == 0


def test_what_is_set_again_drops_nothing() -> None:
    recent: Recent[int, int] = Recent(100)
    for number in range(200):
        recent[number] = number
    for _ in range(3):
        recent[199] = -1
    assert (len(recent), recent.get(0)) == (200, 0)
