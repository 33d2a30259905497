"""Tokens: access tokens, which are signed; personal, refresh and link tokens, which are random and stored hashed."""

import hashlib
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import jwt
from jwt.types import Options

from pamps.config import Security
from pamps.errors import InvalidToken, TokenExpired
from pamps.models.session import SCOPES
from pamps.models.shape import MAX_ID

ALGORITHM = "HS256"
# Whether a token has expired changes with time; and it is none the worse if a clock was set back since it was issued.
OPTIONS: Options = {"require": ["iat", "iss", "sub"], "verify_exp": False, "verify_iat": False}
ALL = frozenset(SCOPES)
# A personal token names its user, its session and the first letters of its scopes; one way to write each.
PERSONAL = re.compile(r"pamps_([1-9][0-9]{0,15})_([1-9][0-9]{0,15})_((?=[rwa])r?w?a?_[A-Za-z0-9_-]{43})")
HALF = 32  # bytes of each half of a refresh token


class Claim(NamedTuple):
    """What a token claims: to be of a user, in a session, for these scopes.

    A personal token is not signed, so its claim has a `proof`, a hash, which the statement compares with the session's.
    """

    user_id: int
    session_id: int
    proof: bytes | None = None
    scopes: frozenset[str] = ALL


def sign_access_token(user_id: int, session_id: int, now: float, settings: Security) -> str:
    """A JWT (RFC 7519) for a user's session, issued at `now` (seconds since the epoch)."""
    claims = {
        "kind": "access",
        "sub": str(user_id),
        "sid": session_id,
        "iat": int(now),
        "exp": int(now + settings.access_token_expire_minutes * 60),
        "iss": settings.issuer,
    }
    key = settings.secret_key
    return jwt.encode(claims, key, ALGORITHM, headers={"kid": kid(key)})


def read_token(token: str, settings: Security, expired_too: bool = False) -> Claim:
    """The claims of an access token or a personal token. Raises TokenExpired or InvalidToken."""
    if token.startswith("pamps_"):
        return read_personal_token(token)
    return read_access_token(token, settings, expired_too)


def read_access_token(token: str, settings: Security, expired_too: bool = False) -> Claim:
    """The claims of an access token of ours. Raises TokenExpired or InvalidToken."""
    found, expires = verified(token, settings.secret_key, settings.old_secret_keys, settings.issuer)
    if expires < time.time() and not expired_too:
        raise TokenExpired()
    return found


# A client sends the same token with every request for half an hour; that its signature is right need be found out once.
@lru_cache(maxsize=4096)
def verified(token: str, key: str, old_keys: tuple[str, ...], issuer: str) -> tuple[Claim, int]:
    """The claims of an access token that a key of ours has signed, and when it expires, in seconds since the epoch."""
    try:
        decoded(token.rpartition(".")[2])
        keys = named(jwt.get_unverified_header(token), (key, *old_keys))
        claims = signed(token, keys, issuer)
        int(claims["iat"])  # whenever that was
        if claims["kind"] != "access":
            raise InvalidToken("that token is of another kind; send the access token")
        found, expires = Claim(int(claims["sub"]), int(claims["sid"])), int(claims["exp"])
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise InvalidToken() from None
    if not (0 < found.user_id <= MAX_ID and 0 < found.session_id <= MAX_ID):
        raise InvalidToken()
    return found, expires


def signed(token: str, keys: tuple[str, ...], issuer: str) -> dict[str, Any]:
    """The claims of a token that one of these keys has signed. Raises PyJWTError or InvalidToken."""
    for key in keys:
        with suppress(jwt.InvalidSignatureError):
            return jwt.decode(token, key, [ALGORITHM], OPTIONS, issuer=issuer)
    raise InvalidToken()


def named(header: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    """The one of our keys that a token names. One that names none, as the first did not, may be signed with any."""
    return tuple(key for key in keys if kid(key) == header["kid"]) if "kid" in header else keys


@lru_cache
def kid(key: str) -> str:
    """The name of a key in the headers of tokens (RFC 7515, 4.1.4): all may know it, it doesn't tell the key."""
    return encoded(hmac.digest(key.encode(), b"the name of this key", "sha256")[:9])


class PersonalToken(NamedTuple):
    """A personal token before its session is there: its scopes in their order, how it ends, and what is stored of that.

    It ends with its scopes and 256 random bits. They are hashed together, so none of them can be another.
    """

    scopes: list[str]
    ending: str
    token_hash: bytes

    def text(self, user_id: int, session_id: int) -> str:
        return f"pamps_{user_id}_{session_id}_{self.ending}"


def new_personal_token(scopes: Collection[str]) -> PersonalToken:
    """A personal token for one scope or more."""
    in_order = [scope for scope in SCOPES if scope in scopes]
    ending = f"{''.join(scope[0] for scope in in_order)}_{new_seed()}"
    return PersonalToken(in_order, ending, digest(ending.encode()))


def read_personal_token(token: str) -> Claim:
    """The claims of a personal token, which only the database can verify. Raises InvalidToken if it can't be one."""
    found = PERSONAL.fullmatch(token)
    if found is None:
        raise InvalidToken()
    user_id, session_id, ending = int(found[1]), int(found[2]), found[3]
    if user_id > MAX_ID or session_id > MAX_ID:
        raise InvalidToken()
    letters, _, _ = ending.partition("_")
    return Claim(user_id, session_id, digest(ending.encode()), BY_LETTERS[letters])


BY_LETTERS = {
    "".join(scope[0] for scope in some): frozenset(some)
    for count in range(1, len(SCOPES) + 1)
    for some in combinations(SCOPES, count)
}


class RefreshToken(NamedTuple):
    """A refresh token and what is stored of it; models/session.py says what its halves are for."""

    text: str
    family_hash: bytes
    token_hash: bytes


def new_refresh_token(predecessor: str | None = None) -> RefreshToken:
    """A refresh token for a new session, or the successor of an earlier one of the same session."""
    family = refresh_token_bytes(predecessor)[:HALF] if predecessor else secrets.token_bytes(HALF)
    whole = family + secrets.token_bytes(HALF)
    return RefreshToken(encoded(whole), digest(family), digest(whole))


def read_refresh_token(token: str) -> RefreshToken:
    """A refresh token as it was sent to us. Raises InvalidToken if it can't be one."""
    whole = refresh_token_bytes(token)
    return RefreshToken(token, digest(whole[:HALF]), digest(whole))


def refresh_token_bytes(token: str) -> bytes:
    try:
        whole = decoded(token)
    except ValueError:
        raise InvalidToken() from None
    if len(whole) != 2 * HALF:
        raise InvalidToken()
    return whole


def new_seed() -> str:
    """256 random bits in base64url: what the token of a link is made from, and the end of a personal token."""
    return encoded(secrets.token_bytes(HALF))


def link_token(seed: str, key: str) -> str:
    """The token of a link. The seed lies in the queue of mail, and without the key nobody makes the token from it."""
    return encoded(hmac.digest(key.encode(), f"a link: {seed}".encode(), "sha256"))


def link_hash(token: str) -> bytes:
    """What is stored of the token of a link."""
    return digest(token.encode())


def encoded(secret: bytes) -> str:
    return urlsafe_b64encode(secret).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """What base64url says. Raises ValueError for all but one way to write it; Python's decoder is not that strict."""
    secret = urlsafe_b64decode(text + "==")
    if encoded(secret) != text:
        raise ValueError
    return secret


def digest(secret: bytes) -> bytes:
    # A fast hash will do: what is hashed is 256 random bits, not a word that somebody could guess.
    return hashlib.sha256(secret).digest()
