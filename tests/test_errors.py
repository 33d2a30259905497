"""Every error that the API can answer, provoked."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps import errors
from pamps.app import create_app
from pamps.config import Settings
from pamps.db import drivers
from pamps.errors import PampsError
from pamps.models.mail import VERIFICATION
from pamps.models.problem import Problem
from pamps.models.shape import RULES
from pamps.routing.asked import Asked
from tests.api import Api, Signed, problem
from tests.document import DOCUMENT
from tests.factories import PASSWORD, World
from tests.forge import claims, signed
from tests.live import Connection, served
from tests.locks import until_waiting
from tests.tables import unchanged

ENDS_IN_Z = "Z$"  # of times, which only answers have
NOBODY_LISTENS = "postgresql://pamps:secret@127.0.0.1:1/pamps"
AT_START_ONLY = {errors.ConfigurationError, errors.EmbeddedError, errors.BackupError}
# Those with a code of their own; the others are only there to be inherited from.
KINDS: set[type[PampsError]] = {
    kind for kind in vars(errors).values() if isinstance(kind, type) and "code" in vars(kind)
}


class Scene(NamedTuple):
    """ada, who asks, is user 1 in session 1, has a personal token to read, and was mailed enough; bob is user 2.

    Post 1 is his, and she likes it, by the key "used"; his email is verified. zoe has a second factor, and as many
    personal tokens as anybody may.
    """

    api: Api
    ada: Signed
    reader: Signed
    zoe: Signed
    bob: Signed
    admin: Signed
    settings: Settings
    engine: Engine
    new_database: Callable[[], str]
    migrated_database: Callable[[], str]

    def elsewhere(self, **changes: Any) -> TestClient:
        """The service with another setting of the database."""
        changed = self.settings.model_copy(update={"db": self.settings.db.model_copy(update=changes)})
        return Api(create_app(changed))

    def sign_in(self, username: str, **more: str) -> Response:
        return self.api.post("/token", data={"username": username, "password": PASSWORD, **more})

    def register(self, **changes: str) -> Response:
        ada = {"email": "new@example.com", "username": "new", "password": PASSWORD}
        return self.api.post("/user/", json={**ada, **changes})


@pytest.fixture
def scene(
    api: Api,
    world: World,
    settings: Settings,
    engine: Engine,
    new_database: Callable[[], str],
    migrated_database: Callable[[], str],
) -> Scene:
    ada, bob = world.user("ada"), world.user("bob", email_verified_at=datetime.now(UTC))
    world.post(by=bob)
    world.link(ada, VERIFICATION, spaced_until=datetime.now(UTC) + timedelta(days=1))
    signed_in, reader = api.as_(world.sign_in(ada)[0]), api.as_(world.personal_token(ada, ["read"], name="reader"))
    assert with_key(signed_in, "used").status_code == 201
    zoe = world.user("zoe")
    world.second_factor(zoe)
    others = api.as_(world.sign_in(zoe)[0]), api.as_(world.sign_in(bob)[0])
    world.personal_tokens(zoe, 100)
    world.user("eve", suspended_at=datetime.now(UTC), suspended_reason="Spam.")
    admin = api.as_(world.sign_in(world.user("root", role="admin"))[0])
    return Scene(api, signed_in, reader, *others, admin, settings, engine, new_database, migrated_database)


def with_key(who: Signed, key: str, post: int = 1) -> Response:
    return who.post(f"/post/{post}/like/", headers={"Idempotency-Key": key})


def unavailable(scene: Scene) -> Response:
    with scene.elsewhere(uri=NOBODY_LISTENS) as api:
        return api.get("/post/")


def busy(scene: Scene) -> Response:
    with scene.elsewhere(statement_timeout=0.1) as api, scene.engine.begin() as connection:
        connection.execute(text("LOCK TABLE post IN ACCESS EXCLUSIVE MODE"))
        return api.get("/post/")


def behind(scene: Scene) -> Response:
    with scene.elsewhere(uri=scene.new_database()) as api:
        return api.get("/post/")


def a_mistake_of_ours(scene: Scene) -> Response:
    """A rule in the database that the service has no word for."""
    uri = scene.migrated_database()
    engine = drivers.engine(uri)
    with engine.begin() as connection:
        connection.execute(text("""ALTER TABLE "user" ADD CONSTRAINT secret_rule CHECK (username <> 'new')"""))
    engine.dispose()
    app = create_app(scene.settings.model_copy(update={"db": scene.settings.db.model_copy(update={"uri": uri})}))
    with Api(app) as client:
        return client.post("/user/", json={"email": "new@example.com", "username": "new", "password": PASSWORD})


def after_too_many(scene: Scene) -> Response:
    """One wrong guess more than go without a delay."""
    wrong = {"username": "ada", "password": "wrong"}
    for _ in range(scene.settings.guesses.account_free):
        assert scene.api.post("/token", data=wrong).status_code == 401
    return scene.api.post("/token", data=wrong)


def too_many(scene: Scene) -> Response:
    limits = scene.settings.limits.model_copy(update={"read": "1/second"})
    with Api(create_app(scene.settings.model_copy(update={"limits": limits}))) as api:
        answers = [api.get("/livez"), *(api.get("/") for _ in range(5))]
    return next(answer for answer in answers if answer.status_code == 429)


def raw(scene: Scene, sent: bytes, **changes: float) -> Response:
    """What a connection answers, that is sent this and no more."""
    server = scene.settings.server.model_copy(update=changes)
    app = create_app(scene.settings.model_copy(update={"server": server}))
    with served(app) as port, Connection(port) as connection:
        connection.send(sent)
        status, headers, body = connection.head()
        return Response(status, headers=headers, content=body + connection.rest())


def overloaded(scene: Scene) -> Response:
    narrow = scene.elsewhere(wait_timeout=0.5, pool_min_size=1, pool_size=1)
    with narrow as api, ThreadPoolExecutor(1) as thread, scene.engine.begin() as connection:
        connection.execute(text("LOCK TABLE post IN ACCESS EXCLUSIVE MODE"))
        thread.submit(api.get, "/post/")
        until_waiting(scene.engine)
        return api.get("/user/")


def too_large(scene: Scene) -> Response:
    return scene.ada.post("/post/", json={"text": "x" * 1_000_000})


def in_use(scene: Scene) -> Response:
    with scene.engine.begin() as connection:
        claim = text("SELECT held FROM claim_idempotency_key(:key, '1 day')")
        assert connection.scalar(claim, {"key": Asked(b"running", b"").id(1)})
        return with_key(scene.ada, "running")


def without_mail(scene: Scene) -> Response:
    with Api(create_app(scene.settings.model_copy(update={"env": "production"}))) as api:
        return api.post("/password_reset", json={"email": "ada@example.com"})


def long_after_signing_in(scene: Scene) -> Response:
    security = scene.settings.security.model_copy(update={"email_change_minutes": 1e-9})
    with Api(create_app(scene.settings.model_copy(update={"security": security}))) as api:
        return api.patch("/user/me/", json={"email": "new@example.com"}, headers=scene.ada.headers)


PROVOKED: dict[type[PampsError], Callable[[Scene], Response]] = {
    PampsError: a_mistake_of_ours,
    errors.MalformedBody: lambda scene: scene.ada.post(
        "/post/", content=b"{", headers={"Content-Type": "application/json"}
    ),
    errors.UnsupportedGrant: lambda scene: scene.api.post(
        "/token", data={"username": "ada", "password": PASSWORD, "grant_type": "implicit"}
    ),
    errors.NotSignedIn: lambda scene: scene.api.get("/user/me/"),
    errors.InvalidToken: lambda scene: scene.api.as_("garbled").get("/user/me/"),
    errors.TokenExpired: lambda scene: scene.api.as_(signed(claims(exp=0))).get("/user/me/"),
    errors.SessionEnded: lambda scene: scene.api.as_(signed(claims(sid=5))).get("/user/me/"),
    errors.WrongCredentials: lambda scene: scene.api.post("/token", data={"username": "ada", "password": "wrong"}),
    errors.InsufficientScope: lambda scene: scene.reader.post("/post/", json={"text": "x"}),
    errors.SignInNeeded: lambda scene: scene.reader.get("/user/me/sessions/"),
    errors.RecentSignInNeeded: long_after_signing_in,
    errors.AccountSuspended: lambda scene: scene.api.post("/token", data={"username": "eve", "password": PASSWORD}),
    errors.NotAllowed: lambda scene: scene.ada.put("/user/bob/suspension/", json={"reason": "Spam."}),
    errors.LastAdmin: lambda scene: scene.admin.put("/user/root/role/", json={"role": "user"}),
    errors.NotTheAuthor: lambda scene: scene.ada.patch("/post/1/", json={"text": "mine now"}),
    errors.WrongPassword: lambda scene: scene.ada.delete("/user/me/", json={"password": "wrong"}),
    errors.NotFound: lambda scene: scene.api.get("/nothing"),
    errors.UserNotFound: lambda scene: scene.api.get("/user/nobody/"),
    errors.PostNotFound: lambda scene: scene.api.get("/post/2/"),
    errors.ParentNotFound: lambda scene: scene.ada.post("/post/", json={"text": "What?", "parent_id": 2}),
    errors.SessionNotFound: lambda scene: scene.ada.delete("/user/me/sessions/2/"),
    errors.TokenNotFound: lambda scene: scene.ada.delete("/user/me/tokens/1/"),
    errors.MethodNotAllowed: lambda scene: scene.ada.put("/post/1/", json={"text": "x"}),
    errors.UsernameTaken: lambda scene: scene.register(username="ADA"),
    errors.UsernameReserved: lambda scene: scene.register(username="me"),
    errors.EmailTaken: lambda scene: scene.register(email="ADA@example.com"),
    errors.TokenNameTaken: lambda scene: scene.ada.post(
        "/user/me/tokens/", json={"name": "reader", "scopes": ["read"]}
    ),
    errors.TooManyTokens: lambda scene: scene.zoe.post(
        "/user/me/tokens/", json={"name": "another", "scopes": ["read"]}
    ),
    errors.SelfFollow: lambda scene: scene.ada.post("/user/follow/ada/"),
    errors.BodyTooLarge: too_large,
    errors.UnsupportedMediaType: lambda scene: scene.ada.post("/post/", data={"text": "x"}),
    errors.InvalidRequest: lambda scene: scene.ada.post("/post/", json={"text": ""}),
    errors.MalformedIdempotencyKey: lambda scene: with_key(scene.ada, '"'),
    errors.IdempotencyKeyInUse: in_use,
    errors.IdempotencyKeyReused: lambda scene: with_key(scene.ada, "used", post=2),
    errors.TooManyAttempts: after_too_many,
    errors.CodeNeeded: lambda scene: scene.sign_in("zoe"),
    errors.WrongCode: lambda scene: scene.sign_in("zoe", code="000000x"),
    errors.CodeRefused: lambda scene: scene.zoe.delete(
        "/user/me/two-factor/", json={"password": PASSWORD, "code": "x"}
    ),
    errors.TwoFactorOn: lambda scene: scene.zoe.post("/user/me/two-factor/", json={"password": PASSWORD}),
    errors.TwoFactorOff: lambda scene: scene.ada.delete(
        "/user/me/two-factor/", json={"password": PASSWORD, "code": "x"}
    ),
    errors.TooManyRequests: too_many,
    errors.LinkInvalid: lambda scene: scene.api.post("/email_verification", json={"token": "x"}),
    errors.EmailVerified: lambda scene: scene.bob.post("/user/me/email/verification/"),
    errors.MailedAlready: lambda scene: scene.ada.post("/user/me/email/verification/"),
    errors.MailNotConfigured: without_mail,
    errors.MalformedRequest: lambda scene: raw(scene, b"GET nowhere"),
    errors.RequestTimeout: lambda scene: raw(scene, b"GET / HTTP/1.1", header_timeout=0.1),
    errors.HeadersTooLarge: lambda scene: raw(scene, b"GET / HTTP/1.1\r\nX: " + b"x" * 16_384),
    errors.Overloaded: overloaded,
    errors.DatabaseUnavailable: unavailable,
    errors.DatabaseBusy: busy,
    errors.SchemaBehind: behind,
}


def test_every_error_is_provoked_here() -> None:
    assert set(PROVOKED) | AT_START_ONLY == KINDS
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", PROVOKED, ids=lambda kind: kind.code)
def test_an_error_is_a_problem_with_its_code_and_writes_nothing(scene: Scene, kind: type[PampsError]) -> None:
    with unchanged(scene.engine):
        response = PROVOKED[kind](scene)
    assert problem(response) == (kind.status, kind.code)
    body = Problem.model_validate(response.json())
    assert (body.type, body.title) == (f"urn:pamps:problem:{kind.code}", kind.title)
    assert body.detail
    assert bool(body.errors) == (kind is errors.InvalidRequest)
    for name, value in kind.headers.items():  # an error may say more this time
        assert response.headers[name].startswith(value)
    assert response.headers["cache-control"] == "no-store"


def test_a_mistake_of_ours_tells_nothing_of_our_insides(scene: Scene) -> None:
    body = a_mistake_of_ours(scene).json()
    assert body == {
        "type": "urn:pamps:problem:internal-error",
        "title": "Something went wrong on our side",
        "status": 500,
        "detail": "Something went wrong on our side",
        "code": "internal-error",
    }


def test_an_invalid_request_says_where_and_what(scene: Scene) -> None:
    response = scene.ada.post("/post/?x=1", json={"text": "", "parent_id": 0, "more": True})
    assert [(one["loc"], one["type"]) for one in response.json()["errors"]] == [
        (["body", "text"], "string_too_short"),
        (["body", "parent_id"], "greater_than_equal"),
        (["body", "more"], "extra_forbidden"),
    ]
    assert response.json()["detail"] == (
        "body.text: String should have at least 1 character; "
        "body.parent_id: Input should be greater than or equal to 1; "
        "body.more: Extra inputs are not permitted"
    )


def test_what_breaks_a_pattern_is_told_in_words_what_it_should_be(scene: Scene) -> None:
    username = "2 to 30 of a-z, A-Z, 0-9, '_', '.' and '-', begin with a letter or digit, not be all digits"
    for response, said in (
        (scene.ada.post("/post/", json={"text": " "}), "body.text: Should be a text that is not blank"),
        (scene.register(username="a b"), f"body.username: Should be {username}"),
        (scene.api.get("/user/12/"), f"path.username: Should be {username}"),
        (scene.ada.post("/user/follow/0/"), f"path.id: Should be the id of a user, or a username: {username}"),
        (scene.api.get("/post/?cursor=x"), "query.cursor: Should be the cursor in a Link header of this list"),
    ):
        assert problem(response) == (422, "invalid-request")
        assert response.json()["detail"].startswith(said)
        assert response.json()["detail"].endswith(response.json()["errors"][0]["msg"])


def patterns(part: Any) -> set[str]:
    """Every pattern in a part of the OpenAPI document."""
    if isinstance(part, list):
        return set[str]().union(*map(patterns, part))
    if not isinstance(part, dict):
        return set()
    own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
    return own.union(*map(patterns, part.values()))


def test_every_pattern_of_a_request_has_its_words() -> None:
    assert patterns(DOCUMENT) - {ENDS_IN_Z} == RULES.keys()


def test_malformed_json_says_where(scene: Scene) -> None:
    for path in ("/post/", "/revoke_token"):
        response = scene.ada.post(path, content=b'{"text": }', headers={"Content-Type": "application/json"})
        assert problem(response) == (400, "malformed-body")
        assert response.json()["detail"] in (
            "the body is not JSON: Expecting value at 9",
            "the body is not JSON: expected value at line 1 column 10",
        )
