"""Registering, and finding people."""

from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session as SqlSession

from pamps.models import User
from pamps.models.user import RESERVED
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.tables import unchanged

ADA = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
PROFILE = {"name": "Ada Lovelace", "avatar": "https://example.com/ada.png", "bio": "Poetical science."}


def test_registering_answers_the_new_profile(api: Api) -> None:
    response = api.post("/user/", json={**ADA, **PROFILE})
    assert response.status_code == 201
    assert response.headers["location"] == "/user/ada/"
    body = response.json()
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "id": 1,
        "username": "ada",
        **PROFILE,
        "post_count": 0,
        "follower_count": 0,
        "following_count": 0,
        "is_following": None,
        "is_followed_by": None,
    }
    assert api.get("/user/ada/").json() == response.json()


def test_name_avatar_and_bio_may_be_left_out(api: Api) -> None:
    body = api.post("/user/", json=ADA).json()
    assert (body["name"], body["avatar"], body["bio"]) == (None, None, None)


def test_a_new_account_can_sign_in_and_its_password_is_stored_as_a_hash(api: Api, engine: Engine) -> None:
    api.post("/user/", json=ADA)
    assert api.post("/token", data={"username": "ada", "password": PASSWORD}).status_code == 200
    with SqlSession(engine) as session:
        user = session.get_one(User, 1)
        assert user.password_hash.startswith("$argon2id$")
        assert user.email == "ada@example.com"


def test_whoever_is_signed_in_may_register_another(api: Api, world: World) -> None:
    token, _ = world.sign_in(world.user("bob"))
    body = api.as_(token).post("/user/", json=ADA).json()
    assert (body["is_following"], body["is_followed_by"]) == (False, False)


def test_registering_with_a_token_of_an_ended_session_writes_nothing(api: Api, world: World, engine: Engine) -> None:
    token, _ = world.sign_in(world.user("bob"))
    api.post("/revoke_token", json={"token": token})
    with unchanged(engine):
        assert problem(api.as_(token).post("/user/", json=ADA)) == (401, "session-ended")


def test_a_username_is_taken_whatever_its_case(api: Api, world: World, engine: Engine) -> None:
    world.user("Ada")
    with unchanged(engine):
        for username in ("ada", "ADA", "aDa"):
            response = api.post("/user/", json={**ADA, "email": "other@example.com", "username": username})
            assert problem(response) == (409, "username-taken"), username


def test_an_email_is_taken_whatever_its_case(api: Api, world: World, engine: Engine) -> None:
    world.user("ada", email="Ada@example.com")
    with unchanged(engine):
        for email in ("ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"):
            response = api.post("/user/", json={**ADA, "email": email, "username": "other"})
            assert problem(response) == (409, "email-taken"), email


def test_an_email_is_ascii_before_the_at(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for email in ("É@example.com", "é@example.com", "ada\u0301@example.com", "\uff21da@example.com"):
            response = api.post("/user/", json={**ADA, "email": email})
            assert problem(response) == (422, "invalid-request"), email
            assert response.json()["detail"] == (
                "body.email: The part before the @ should be ASCII letters, digits and signs alone"
            )


DOMAINS = ["bücher.example.com", "BÜCHER.Example.com", "bu\u0308cher.example.com", "xn--bcher-kva.example.com"]


def test_a_domain_in_any_script_and_spelling_is_one(api: Api, engine: Engine) -> None:
    assert api.post("/user/", json={**ADA, "email": f"ada@{DOMAINS[-1]}"}).status_code == 201
    with unchanged(engine):
        for domain in DOMAINS:
            response = api.post("/user/", json={**ADA, "email": f"Ada@{domain}", "username": "other"})
            assert problem(response) == (409, "email-taken"), domain
    for domain in DOMAINS:
        form = {"username": f"ADA@{domain}", "password": PASSWORD}
        assert api.post("/token", data=form).status_code == 200, domain


TAKEN_FOR_PAGES = [*RESERVED, "Me", "TIMELINE"]


def test_a_reserved_username_is_refused(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for username in TAKEN_FOR_PAGES:
            response = api.post("/user/", json={**ADA, "username": username})
            assert problem(response) == (409, "username-reserved"), username


USERNAMES = ["a1", "1a", "ada.b_c-d", "A" * 30, "0_", "1" * 29 + "a", "Me2"]


def test_these_are_usernames(api: Api) -> None:
    for number, username in enumerate(USERNAMES):
        response = api.post("/user/", json={**ADA, "username": username, "email": f"{number}@example.com"})
        assert (response.status_code, response.json()["username"]) == (201, username)
        assert api.get(f"/user/{username}/").json() == response.json()


UNFIT: list[tuple[str, Any]] = [
    ("username", ""),
    ("username", "a"),
    ("username", "a" * 31),
    ("username", "12345"),
    ("username", "_ada"),
    ("username", ".ada"),
    ("username", "-ada"),
    ("username", "ada b"),
    ("username", "ada\n"),
    ("username", "ádá"),
    ("username", "ada@b"),
    ("username", "\u0430\u0430\u0430"),  # Cyrillic
    ("username", None),
    ("username", 5),
    ("email", ""),
    ("email", "ada"),
    ("email", "ada@"),
    ("email", "@example.com"),
    ("email", "a b@example.com"),
    ("email", "Ada <ada@example.com>"),
    ("email", "a" * 250 + "@example.com"),
    ("email", None),
    ("email", ["ada@example.com"]),
    ("password", ""),
    ("password", "seven77"),
    ("password", "p" * 257),
    ("password", None),
    ("password", 12345678),
    ("name", ""),
    ("name", "   "),
    ("name", "n" * 101),
    ("name", 1),
    ("avatar", "ftp://example.com/ada.png"),
    ("avatar", "javascript:alert(1)"),
    ("avatar", "https://example.com/a b"),
    ("avatar", 'https://example.com/"><script>alert(1)</script>'),
    ("avatar", "https://example.com/'onerror='alert(1)"),
    ("avatar", "https://" + "a" * 493),
    ("bio", "b" * 501),
    ("bio", {}),
]


def test_an_unfit_field_is_named_and_nothing_is_written(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for field, value in UNFIT:
            response = api.post("/user/", json={**ADA, **PROFILE, field: value})
            assert problem(response) == (422, "invalid-request"), (field, value)
            assert {tuple(error["loc"]) for error in response.json()["errors"]} == {("body", field)}, (field, value)


def test_a_missing_field_is_named(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for field in ADA:
            response = api.post("/user/", json={name: value for name, value in ADA.items() if name != field})
            assert problem(response) == (422, "invalid-request")
            assert response.json()["errors"] == [{"loc": ["body", field], "msg": "Field required", "type": "missing"}]


def test_what_was_sent_is_not_repeated_in_an_error(api: Api) -> None:
    response = api.post("/user/", json={**ADA, "username": "not fit", "password": "hunter2"})
    assert response.status_code == 422
    assert "hunter2" not in response.text
    assert "not fit" not in response.text


def test_any_password_of_8_to_256_characters_will_do(api: Api) -> None:
    for name, password in {
        "ada": "eight888",
        "bob": "p" * 256,
        "cora": "パスワード🔑🔑🔑",
        "dan": "  spaces  ",
    }.items():
        account = {"username": name, "email": f"{name}@example.com", "password": password}
        assert api.post("/user/", json=account).status_code == 201
        assert api.post("/token", data={"username": name, "password": password}).status_code == 200


def test_a_profile_is_found_whatever_the_case(api: Api, world: World) -> None:
    world.user("Ada")
    for username in ("ada", "ADA", "aDA"):
        body = api.get(f"/user/{username}/").json()
        assert (body["id"], body["username"]) == (1, "Ada")
        assert "email" not in body


def test_there_is_no_profile_of_nobody(api: Api) -> None:
    assert problem(api.get("/user/nobody/")) == (404, "user-not-found")


def test_a_profile_of_what_is_no_username_is_invalid(api: Api) -> None:
    for username in ("a", "a b", "12345", "a" * 31, "ádá"):
        assert problem(api.get(f"/user/{username}/")) == (422, "invalid-request"), username


def test_a_profile_tells_a_viewer_who_follows_whom(api: Api, world: World) -> None:
    ada, bob, cora = world.user("ada"), world.user("bob"), world.user("cora")
    world.follow(ada, bob)
    world.follow(cora, ada)
    as_ada = api.as_(world.sign_in(ada)[0])

    def seen(username: str) -> tuple[bool, bool]:
        body = as_ada.get(f"/user/{username}/").json()
        return body["is_following"], body["is_followed_by"]

    assert [seen(name) for name in ("ada", "bob", "cora")] == [(False, False), (True, False), (False, True)]


def test_me_is_my_profile_with_my_email(api: Api, world: World) -> None:
    ada = world.user("ada", name="Ada")
    as_ada = api.as_(world.sign_in(ada)[0])
    assert as_ada.get("/user/me/").json() == {**as_ada.get("/user/ada/").json(), "email": "ada@example.com"}


def test_me_is_for_the_signed_in(api: Api) -> None:
    assert problem(api.get("/user/me/")) == (401, "not-signed-in")


def test_everybody_is_listed_newest_first(api: Api, world: World) -> None:
    for name in ("ada", "bob", "cora"):
        world.user(name)
    response = api.get("/user/")
    assert [user["username"] for user in response.json()] == ["cora", "bob", "ada"]
    assert "link" not in response.headers


def test_the_list_tells_a_viewer_whom_they_follow(api: Api, world: World) -> None:
    ada, bob = world.user("ada"), world.user("bob")
    world.follow(ada, bob)
    found = api.as_(world.sign_in(ada)[0]).get("/user/").json()
    assert {user["username"]: user["is_following"] for user in found} == {"ada": False, "bob": True}
