"""Makes tokens that Pamps never would, to attack it with."""

import base64
import hmac
import json
import time
from typing import Any

import jwt

from tests.conftest import SECRET

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good token for user 1 in session 1, changed; a claim that is changed to `...` is left out."""
    now = int(time.time())
    good = {"kind": "access", "sub": "1", "sid": 1, "iat": now, "exp": now + 60, "iss": "pamps"}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def signed(payload: Any = None, key: Any = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims() if payload is None else payload, key, algorithm, headers=header or None)


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unsigned(header: Any, payload: Any = None, signature: str = "") -> str:
    return f"{segment(header)}.{segment(claims() if payload is None else payload)}.{signature}"


def hmac_signed(header: bytes, payload: bytes, key: str = SECRET) -> str:
    """Signed, whatever it says; with our key, what only we could make, to see that reading it is safe all the same."""
    content = f"{segment(header)}.{segment(payload)}"
    return f"{content}.{segment(hmac.digest(key.encode(), content.encode(), 'sha256'))}"


def garbled(token: str) -> list[str]:
    """What is left of a token after accidents and attempts."""
    header, payload, signature = token.split(".")
    return [
        "",
        " ",
        ".",
        "..",
        "...",
        "null",
        "\0",
        header,
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f".{payload}.{signature}",
        f"{header}..{signature}",
        f"{token}.",
        f"{token}.{signature}",
        f"{token}=",
        f"{token}!",
        f"{token}\0",
        f"{token} x",
        f"{token},{token}",
        f"{header}.{payload}.{signature[:20]}*{signature[20:]}",
        f"{payload}.{header}.{signature}",
        token.upper(),
        token[::-1],
        token[:-1],
        "Bearer",
        "x" * 60_000,
        "." * 1000,
    ]
