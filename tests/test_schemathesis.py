"""The OpenAPI document against the service: schemathesis sends what it allows and what it forbids, and checks answers.

Every check of schemathesis is on. Operation by operation, and then in chains: what one answers, the next is asked for.
Without `--slow` it sends the same each time; with it, ten times as much, and new.
"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.generation.stateful.state_machine import StepInput
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import use_after_free
from schemathesis.specs.openapi.stateful import transition
from sqlalchemy import Engine

from pamps.app import create_app
from pamps.config import Settings
from pamps.models import User
from pamps.models.shape import IDEMPOTENCY_KEY
from tests.conftest import empty_tables
from tests.document import OPERATIONS
from tests.factories import World

# What format: email can't say: that .test and the like, which no mail reaches, are refused.
emails = st.from_regex(r"[A-Za-z0-9_+-]{1,20}@[a-z0-9]{1,20}\.(com|org|dev)", fullmatch=True)
schemathesis.openapi.format("email", emails)
# What no document can say either: that a password which many have, or which is one's own name, is refused.
schemathesis.openapi.format("password", st.text(max_size=40).map("!Pw {}".format))


@schemathesis.hook
def before_call(context: Any, case: Case[Any], options: dict[str, Any]) -> None:
    """A key that is well-formed is a new one: that one key goes with one request alone the document can't say."""
    if case.headers and re.fullmatch(IDEMPOTENCY_KEY, case.headers.get("Idempotency-Key", "")):
        case.headers["Idempotency-Key"] = str(uuid4())


bounded = hypothesis.settings(
    max_examples=hypothesis.settings().max_examples // 20,
    # The tables are emptied for each test, not for each example: what one leaves behind should not trouble the next.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[Any]:
    """An application, which schemathesis runs."""
    yield create_app(settings)
    shutdown_lifespans()


@pytest.fixture
def document(service: Any, request: pytest.FixtureRequest) -> schemathesis.BaseSchema:
    # Schemathesis 4.32 names its subtests after what pytest has called otherwise since 9.2.
    request.node._nodeid = request.node.nodeid
    config = schemathesis.Config(seed=None if request.config.getoption("--slow") else 1)
    return schemathesis.openapi.from_asgi("/openapi.json", service, config=config)


# Loaded with the first test, and not when tests are collected: making the requests takes longer than sending them.
schema = schemathesis.pytest.from_fixture("document")


def somebody(world: World) -> User:
    """Somebody to be, and something to be found: the document's examples name ada, and small ids are tried often."""
    ada, bob = world.user("ada"), world.user("bob")
    post = world.post(by=ada)
    world.post(by=bob, parent=post)
    world.like(by=bob, post=post)
    world.follow(bob, ada)
    return ada


@pytest.fixture
def ada(service: None, world: World) -> User:
    return somebody(world)


# Each request is sent by nobody, and by somebody: to make it takes longer than to send it twice.
@schema.parametrize()
@bounded
def test_signed_in_or_not_the_service_is_as_documented(case: Case[Any], ada: User, world: World) -> None:
    case.call_and_validate()
    token, _ = world.sign_in(ada)
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"})


def at_any_time(operation: APIOperation[Any, Any, Any, Any]) -> Any:
    """The rule of a chain that an operation may come next, whatever came before."""
    requests = operation.as_strategy().map(StepInput.initial)
    return transition(name=operation.label, target=Bundle("any"), input=requests, precondition=lambda _: True)


@pytest.mark.parametrize("signed_in", [False, True], ids=["signed_out", "signed_in"])
def test_whatever_is_done_one_after_another_the_service_is_as_documented(
    document: schemathesis.BaseSchema, engine: Engine, settings: Settings, signed_in: bool
) -> None:
    reached = set()

    class Machine(document.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # All anew for each chain, or what comes next would depend on others, and a chain that is tried again would
            # be another one. An admin may do all of it.
            with engine.begin() as connection:
                empty_tables(connection)
            with World(engine, settings) as world:
                somebody(world)
                token, _ = world.sign_in(world.user(role="admin"))
            self.sent = {"headers": {"Authorization": f"Bearer {token}"}} if signed_in else {}

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return self.sent

        def validate_response(self, response: Any, case: Case[Any], *further: Any, **options: Any) -> None:
            reached.add(case.operation.label)
            # It takes DELETE /post/1/like/ for the end of GET /post/1/likes/; what deleting does has its own tests.
            case.validate_response(response, excluded_checks=[use_after_free], recorder=self.recorder)

    # Its chains are of what a link leads to or from, which leaves half of the document out.
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == len(OPERATIONS)
    for operation in operations:
        setattr(Machine, operation.label, at_any_time(operation))
    Machine.run(settings=bounded)
    assert len(reached) > len(operations) * 0.6  # chance leaves some out, others after each change of the document
