"""Ada's sign-ins and refreshes, and whose tokens come of them."""

from httpx2 import Response

from tests.api import Api
from tests.factories import PASSWORD

ENDED = (401, "session-ended")


def sign_in(api: Api, headers: dict[str, str], password: str = PASSWORD, **more: str) -> Response:
    return api.post("/token", data={"username": "ada", "password": password, **more}, headers=headers)


def refresh(api: Api, token: str, headers: dict[str, str]) -> Response:
    return api.post("/refresh_token", json={"refresh_token": token}, headers=headers)


def who(api: Api, tokens: Response) -> tuple[int, str]:
    """Whose an access token is, or why it is nobody's."""
    answer = api.as_(tokens.json()["access_token"]).get("/user/me/")
    return answer.status_code, answer.json().get("username") or answer.json()["code"]
