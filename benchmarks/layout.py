"""Who is who in the benchmark's network: sizes, and which ids have which part to play. Arithmetic only, no database.

Ids are laid out so that a script of pgbench, which can only calculate, finds the same people and posts as Python does.
Users, by id: the celebrities, the silent, ordinary people (the last of them the writers), the readers.
"""

import math
from dataclasses import dataclass

SCALE_MIN = 0.001
CELEBRITIES = 5
# A prime larger than any number of ours, so that i -> i * PRIME % n visits all of 0..n-1, in no order that shows.
PRIME = 15_485_863
THREAD_STEP = 16  # every so many posts, one belongs to the great thread of its time


@dataclass(frozen=True)
class Reader:
    """Readers of one kind: the first one's id, and how many each of them follows."""

    first: int
    follows: int


@dataclass(frozen=True)
class Layout:
    """The network at a scale: 1 is the whole of it, 0.001 the least."""

    scale: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not SCALE_MIN <= self.scale <= 1:
            raise ValueError(f"a scale is between {SCALE_MIN} and 1, not {self.scale}")

    def of(self, whole: int) -> int:
        return round(whole * self.scale)

    @property
    def users(self) -> int:
        return self.of(100_000)

    @property
    def posts(self) -> int:
        return self.of(1_000_000)

    @property
    def likes(self) -> int:
        return self.of(10_000_000)

    @property
    def follows(self) -> int:
        return self.of(5_000_000)

    # The silent wrote the oldest posts, and none since.

    @property
    def silent(self) -> int:
        return max(10, self.users // 100)

    @property
    def old_posts(self) -> int:
        return self.posts // 50

    @property
    def first_active(self) -> int:
        """The first of those who still write, celebrities aside."""
        return CELEBRITIES + self.silent + 1

    @property
    def active(self) -> int:
        return self.pool - self.silent

    @property
    def pool(self) -> int:
        """Everybody but the celebrities and the readers."""
        return self.users - CELEBRITIES - 4 * self.readers_of_a_kind

    # Writers publish and like in the benchmark. In the data they like nothing yet, so that whatever they like is new.

    @property
    def writers(self) -> int:
        return max(32, min(1000, self.users // 15))

    @property
    def first_writer(self) -> int:
        return CELEBRITIES + self.pool - self.writers + 1

    @property
    def likers(self) -> int:
        """Those who like something: everybody before the writers."""
        return self.first_writer - 1

    # Readers only follow: as many as 50, 1,000 or 5,000 where there are so many people, or 50 of the silent.

    @property
    def readers_of_a_kind(self) -> int:
        return max(2, min(32, self.users // 50))

    @property
    def readers(self) -> dict[str, Reader]:
        follows = {
            "ordinary": min(50, self.active // 3),
            "busy": min(1000, self.active // 2),
            "keenest": min(5000, self.active * 3 // 4),
            "silent": min(50, self.silent),
        }
        first = CELEBRITIES + self.pool + 1
        return {
            kind: Reader(first + number * self.readers_of_a_kind, count)
            for number, (kind, count) in enumerate(follows.items())
        }

    # Threads.

    @property
    def threads(self) -> int:
        """How many great threads there are."""
        return max(2, self.of(20))

    @property
    def thread_span(self) -> int:
        """From the root of one great thread to the root of the next."""
        return self.posts // self.threads

    @property
    def hot_post(self) -> int:
        """The post that everybody likes: the root of the latest great thread."""
        return (self.threads - 1) * self.thread_span + 1

    # Who writes much, and who is followed and liked much.

    def author_ranked(self, rank: int) -> int:
        """The id of the author who has written the `rank`th most (from 0), celebrities aside."""
        return self.first_active + rank * PRIME % self.active

    @property
    def follows_of_pool(self) -> int:
        """Follows besides those of the readers and those that the celebrities have from everybody in the pool."""
        by_readers = sum(reader.follows for reader in self.readers.values()) * self.readers_of_a_kind
        return self.follows - CELEBRITIES * self.pool - by_readers

    @property
    def follow_skew(self) -> float:
        return skew(self.follows_of_pool, self.pool, 0.8 * self.active, 1.65)

    @property
    def like_skew(self) -> float:
        return skew(self.likes, self.likers, 0.8 * self.posts, 1.5)


def skew(total: int, people: int, most: float, wanted: float) -> float:
    """How uneven shares are: the first r of n people have total * (r / n) ** (1 / skew), nobody more than `most`.

    `wanted`, or less where the first one's share would be too large; 1 is even shares.
    """
    flattest = math.log(total / most) / math.log(people)
    return min(wanted, 1 / max(flattest, 1e-9))
