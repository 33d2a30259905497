"""Random cursors, addresses and headers: each gets an answer that is documented, and none breaks the service."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import Api, Signed, problem
from tests.document import OPERATIONS, READS, Operation, name
from tests.factories import World

without_fresh_tables = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
LISTS = [one for one in READS if "cursor" in one.parameters("query")]
# What a header may hold at all (RFC 9110, section 5.5): no control characters, nothing white at either end.
field_value = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=200)
digits = st.from_regex(r"[0-9]{1,16}", fullmatch=True)
HEADERS = (
    *("accept", "accept-encoding", "accept-language", "authorization", "content-type", "cookie", "expect"),
    *("forwarded", "host", "idempotency-key", "if-match", "if-modified-since", "if-none-match", "if-range", "origin"),
    *("range", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-http-method-override", "x-request-id"),
)
structured = st.sampled_from(
    [
        "*",
        '"',
        '""',
        'W/"x"',
        '"a", W/"b", ,',
        "Bearer",
        "Bearer  x",
        "bearer x y",
        "Basic Og==",
        "application/json;",
        "q=",
        "*;q=2",
    ]
)


@pytest.fixture
def ada(api: Api, world: World) -> Signed:
    """Ada, who is signed in, and bob, whose post she has answered: there are pages to turn."""
    ada, bob = world.user("ada"), world.user("bob")
    post = world.post(by=bob)
    for _ in range(3):
        world.post(by=ada, parent=post)
    world.follow(ada, bob)
    world.like(by=ada, post=post)
    world.sign_in(bob)  # session 1, which ada's requests name and can't end
    return api.as_(world.sign_in(ada)[0])


@pytest.mark.parametrize("operation", LISTS, ids=name)
@given(cursor=st.text(max_size=40) | digits | st.tuples(digits, digits).map("-".join))
@without_fresh_tables
def test_a_cursor_is_taken_or_refused(ada: Signed, operation: Operation, cursor: str) -> None:
    response = ada.get(operation.url, params={"cursor": cursor, "limit": 1})
    if response.status_code != 200:
        assert problem(response) == (422, "invalid-request")
        assert response.json()["errors"][0]["loc"] == ["query", "cursor"]


@pytest.mark.parametrize("signed_in", [False, True], ids=["signed_out", "signed_in"])
@given(
    operation=st.sampled_from(OPERATIONS),
    headers=st.dictionaries(st.sampled_from(HEADERS), field_value | structured, max_size=5),
)
@without_fresh_tables
def test_no_headers_break_an_answer(
    api: Api, ada: Signed, signed_in: bool, operation: Operation, headers: dict[str, str]
) -> None:
    sent = [(name.encode(), value.strip().encode("latin-1")) for name, value in headers.items()]
    if signed_in and "authorization" not in headers:
        sent.append((b"authorization", ada.headers["Authorization"].encode()))
    assert api.request(operation.method, operation.url, headers=sent).status_code < 500
