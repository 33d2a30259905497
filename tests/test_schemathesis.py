"""The OpenAPI document against the service: schemathesis sends what it allows and what it forbids, and checks answers.

Every check of schemathesis is on. `--slow` sends ten times as much.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from email_validator import EmailNotValidError, validate_email
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.python.asgi import shutdown_lifespans

from pamps.app import create_app
from pamps.config import Settings, load_settings
from pamps.models import User
from tests.factories import World


def deliverable(email: str) -> bool:
    try:
        validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


# What format: email can't say: that .test and the like, which no mail reaches, are refused.
schemathesis.openapi.format("email", st.emails().filter(deliverable))

# The tests are made from the document before there is a database. The service starts with their first request.
app = create_app(load_settings(Path(__file__).parent))
schema = schemathesis.openapi.from_dict(app.openapi())
schema.app = app

bounded = hypothesis.settings(
    max_examples=hypothesis.settings().max_examples // 10,
    # The tables are emptied for each test, not for each example: what one leaves behind should not trouble the next.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[None]:
    app.state.settings = settings
    yield
    shutdown_lifespans()


@pytest.fixture
def ada(service: None, world: World) -> User:
    """Somebody to be, and something to be found: the document's examples name ada, and small ids are tried often."""
    ada, bob = world.user("ada"), world.user("bob")
    post = world.post(by=ada)
    world.post(by=bob, parent=post)
    world.like(by=bob, post=post)
    world.follow(bob, ada)
    return ada


@schema.parametrize()
@bounded
def test_signed_out_the_service_is_as_documented(case: Case[Any], ada: User) -> None:
    case.call_and_validate()


@schema.parametrize()
@bounded
def test_signed_in_the_service_is_as_documented(case: Case[Any], ada: User, world: World) -> None:
    token, _ = world.sign_in(ada)
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
