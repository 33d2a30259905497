"""Texts and names made from the words in words.toml."""

import re
import tomllib
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

LANGUAGES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
SHARES = [(language, words["share"]) for language, words in LANGUAGES.items()]
FIRST = {language: words["first"].split() for language, words in LANGUAGES.items()}
LAST = {language: words["last"].split() for language, words in LANGUAGES.items()}
WORDS = {
    language: {name: choices.split("|") for name, choices in words["words"].items()}
    for language, words in LANGUAGES.items()
}

SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
BEGINNING = re.compile(r"(?:^|[.!?]\s+)\w")


class Topic(NamedTuple):
    """What a thread is about: a language, and one of its topics."""

    language: str
    number: int

    @property
    def texts(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = LANGUAGES[self.language]["topics"][self.number]
        return found


def language(random: Random) -> str:
    """One of the languages, as often as its share says."""
    at = random.random() * sum(share for _, share in SHARES)
    for name, share in SHARES:
        at -= share
        if at < 0:
            return name
    return SHARES[-1][0]


def topic(random: Random, language: str) -> Topic:
    return Topic(language, random.randrange(len(LANGUAGES[language]["topics"])))


def post(random: Random, topic: Topic) -> str:
    """What somebody says to begin with."""
    text = with_mood(random, topic.language, fill(random, topic.language, random.choice(topic.texts["posts"])), 0.35)
    return f"{text} {random.choice(topic.texts['tags'])}" if random.random() < 0.3 else text


def reply(random: Random, topic: Topic, to: str) -> str:
    """What somebody says to that; `to` is the username of whoever is replied to."""
    text = fill(random, topic.language, random.choice(topic.texts["replies"]))
    if random.random() < 0.15:
        text = f"@{to} {text}"
    return with_mood(random, topic.language, text, 0.2)


def with_mood(random: Random, language: str, text: str, chance: float) -> str:
    """A text, sometimes with some words or an emoji behind its last sentence."""
    if text[-1] in ".!?" and random.random() < chance:
        return f"{text} {random.choice(WORDS[language]['mood'])}"
    return text


def bio(random: Random, language: str) -> str:
    return fill(random, language, random.choice(LANGUAGES[language]["bios"]))


def fill(random: Random, language: str, template: str) -> str:
    """A text with its words in place and its sentences begun with capitals."""
    chosen: dict[str, str] = {}

    def word(slot: re.Match[str]) -> str:
        if slot[0] not in chosen:
            chosen[slot[0]] = random.choice([word for word in WORDS[language][slot[1]] if word not in chosen.values()])
        return chosen[slot[0]]

    return BEGINNING.sub(capital, SLOT.sub(word, template))


def capital(beginning: re.Match[str]) -> str:
    return beginning[0].upper()
