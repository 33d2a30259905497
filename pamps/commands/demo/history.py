"""What happened in the demo's network: made up as it is read, in order, so that any number of posts fits into memory.

A few people are followed by nearly everybody, a few write most of the posts, a few threads get most of the replies: the
weights are heavy-tailed, as they are where people write. Numbers of people and posts count from 0, by date.
"""

import unicodedata
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import NamedTuple

from pamps.commands.demo import words
from pamps.commands.demo.words import Topic

SPAN = timedelta(days=240)
REPLIES = 1 / 3  # of all posts
EDITED = 0.03
# How much is written in each hour of the day, UTC; Brazil is three hours behind.
HOURS = (9, 7, 4, 2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 10, 11, 10, 9, 9, 9, 10, 11, 12, 11)
DAY = [0.0, *accumulate(hour / sum(HOURS) for hour in HOURS)]
FRIENDS = 2  # on either side: people who came at about the same time and follow each other
AWAITED = 0.6  # replies to a post that isn't one, on average; a little more than come


class Size(NamedTuple):
    """How much there is of everything: people and posts exactly, likes and follows about."""

    users: int
    posts: int
    likes: int
    follows: int


class Person(NamedTuple):
    username: str
    name: str
    bio: str | None
    language: str
    created_at: datetime


class Post(NamedTuple):
    """`likes` are people with the times of their likes."""

    number: int
    user: int
    parent: int | None
    text: str
    date: datetime
    edited_at: datetime | None
    likes: list[tuple[int, datetime]]


class Said(NamedTuple):
    """A post, as far as replies need to know it."""

    number: int
    user: int


class Thread(NamedTuple):
    """What a post has started: the post, and the latest replies."""

    topic: Topic
    root: Said
    latest: deque[Said]

    def somewhere(self, random: Random) -> Said:
        """What the next one replies to."""
        return random.choice(self.latest) if self.latest and random.random() < 0.4 else self.root


class History:
    """People, their follows, and their posts with likes. Reading one of them again gives the same."""

    def __init__(self, size: Size, seed: int, until: datetime):
        self.size = size
        self.seed = seed
        self.until = until if until.tzinfo else until.replace(tzinfo=UTC)
        self.people = list(self.made_up_people())
        random = self.random("weights")
        # Who is followed, and who writes and likes. The first person is the one that visitors sign in as.
        ranks = [0, *shuffled(random, range(1, size.users))]
        self.fame = [1 / (1 + rank) ** 0.9 for rank in ranks]
        self.by_fame = array("d", accumulate(self.fame))
        activity = [3.0, *(random.lognormvariate(0, 1.2) for _ in ranks[1:])]
        self.by_activity = array("d", accumulate(activity))
        self.joined = [person.created_at for person in self.people]

    def random(self, purpose: str) -> Random:
        """Chance of its own for each purpose, so that more posts don't make other people."""
        return Random(f"{self.seed} {purpose}")

    def moment(self, share: float) -> datetime:
        """The time at a share of the span, from 0 to 1; later for more, and seldom at night."""
        days, day = divmod(share * SPAN.days, 1)
        hour = min(bisect_right(DAY, day) - 1, 23)
        into = (day - DAY[hour]) / (DAY[hour + 1] - DAY[hour])
        return self.until - SPAN + timedelta(days=days, hours=hour + into)

    def made_up_people(self) -> Iterator[Person]:
        """A third is there from the first days on; then more and more come."""
        random = self.random("people")
        taken: set[str] = set()
        for number in range(self.size.users):
            late = max(0.0, number / self.size.users - 0.3) / 0.7
            joined = self.moment(0.01 * number / self.size.users + 0.94 * late**0.7)
            if number == 0:
                language, first, last = "pt", "Lia", "Monteiro"
                username = "demo"
            else:
                language = words.language(random)
                first, last = random.choice(words.FIRST[language]), random.choice(words.LAST[language])
                username = free_username(random, first, last, taken)
            taken.add(username)
            bio = words.bio(random, language) if random.random() < 0.7 else None
            yield Person(username, f"{first} {last}", bio, language, joined)

    def follows(self) -> Iterator[tuple[int, int, datetime]]:
        """Who follows whom, since when: friends each other, and everybody some of the famous."""
        random = self.random("follows")
        count = self.size.users
        friends = FRIENDS if count > 2 * FRIENDS else 0
        appetite = [3.0, *(random.lognormvariate(0, 1) for _ in self.people[1:])]
        famous = max(0, self.size.follows - 2 * friends * count) / (sum(appetite) or 1)
        for user in range(count):
            followed = {(user + step) % count for step in range(-friends, friends + 1)} | {user}
            chosen = followed - {user}
            wanted = min(len(chosen) + rounded(random, famous * appetite[user]), count - 1)
            for _ in range(4 * wanted):
                if len(chosen) >= wanted:
                    break
                other = pick(random, self.by_fame, count)
                if other not in followed:
                    followed.add(other)
                    chosen.add(other)
            for other in sorted(chosen):
                since = max(self.joined[user], self.joined[other])
                yield user, other, since + (self.until - since) * random.random()

    def posts(self) -> Iterator[Post]:
        """All posts by date, a reply after what it replies to."""
        random = self.random("posts")
        awaited: list[Thread] = []  # a thread as often as it will be replied to
        for number in range(self.size.posts):
            date = self.moment(((number + random.random()) / self.size.posts) ** 0.8)
            here = max(1, bisect_right(self.joined, date))
            user = pick(random, self.by_activity, here)
            if awaited and here > 1 and random.random() < REPLIES:
                thread = taken_from(awaited, random)
                parent = thread.somewhere(random)
                while user == parent.user:
                    user = pick(random, self.by_activity, here)
                text = words.reply(random, thread.topic, self.people[parent.user].username)
                thread.latest.append(Said(number, user))
                yield self.post(random, number, user, parent.number, text, date)
            else:
                topic = words.topic(random, self.people[user].language)
                thread = Thread(topic, Said(number, user), deque(maxlen=4))
                awaited += [thread] * rounded(random, AWAITED * random.lognormvariate(-2, 2))
                yield self.post(random, number, user, None, words.post(random, topic), date)

    def post(self, random: Random, number: int, user: int, parent: int | None, text: str, date: datetime) -> Post:
        edited = date + (self.until - date) * random.random() ** 9 if random.random() < EDITED else None
        return Post(number, user, parent, text, date, edited, self.likes(random, user, date))

    def likes(self, random: Random, author: int, date: datetime) -> list[tuple[int, datetime]]:
        """Who of those who are here by then likes a post, and when."""
        here = max(1, bisect_right(self.joined, date))
        fame = min(8.0, self.fame[author] * self.size.users / self.by_fame[-1])
        mean = self.size.likes / self.size.posts * (0.7 + 0.3 * fame)
        wanted = min(rounded(random, mean * random.lognormvariate(-0.5, 1)), here - 1)
        found: dict[int, datetime] = {}
        for _ in range(4 * wanted):
            if len(found) >= wanted:
                break
            user = pick(random, self.by_activity, here)
            if user != author and user not in found:
                after = min(timedelta(hours=random.expovariate(1 / 9)), (self.until - date) * random.random())
                found[user] = date + after
        return list(found.items())


def pick(random: Random, weights: "array[float]", among: int) -> int:
    """One of the first `among`, by their weights, which are summed up."""
    return min(bisect_right(weights, random.random() * weights[among - 1]), among - 1)


def rounded(random: Random, number: float) -> int:
    """A whole number that is `number` on average."""
    return int(number + random.random())


def taken_from(threads: list[Thread], random: Random) -> Thread:
    """Any of the threads, which is taken out of the list, by no more than a swap."""
    at = random.randrange(len(threads))
    threads[at], threads[-1] = threads[-1], threads[at]
    return threads.pop()


def shuffled(random: Random, numbers: range) -> list[int]:
    found = list(numbers)
    random.shuffle(found)
    return found


def free_username(random: Random, first: str, last: str, taken: set[str]) -> str:
    """A username such as people choose, that nobody here has yet."""
    first, last = plain(first), plain(last)
    base = random.choice(
        (f"{first}.{last}", f"{first}{last}", f"{first}_{last}", f"{first[0]}{last}", f"{last}.{first}")
    )
    username, number = base, 0
    while username in taken:
        number += 1
        username = f"{base}{number}"
    return username


def plain(name: str) -> str:
    """A name in lower case, without accents."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
