"""Walks the pages of a list by their Link headers."""

from collections.abc import Iterator
from typing import Any

from tests.api import Api, Signed

PAGES_MAX = 1000  # a walk that goes in circles fails rather than never ends


def pages(client: Api | Signed, url: str) -> Iterator[list[Any]]:
    """The pages of a list, one after the other; each is asked for when it is needed."""
    for _ in range(PAGES_MAX):
        response = client.get(url)
        assert response.status_code == 200, response.text
        yield response.json()
        if "next" not in response.links:
            return
        url = response.links["next"]["url"]
    raise AssertionError("the pages of a list never end")


def every_page(client: Api | Signed, url: str) -> list[Any]:
    """The whole of a list."""
    return [item for page in pages(client, url) for item in page]


def ids(items: list[Any]) -> list[int]:
    return [item["id"] for item in items]
