"""A request with an `Idempotency-Key`: what it is known by when it comes again, and the cipher of its answer."""

import hashlib
import hmac
import re
from secrets import token_bytes

from fastapi import Request

from pamps import errors
from pamps.models.shape import IDEMPOTENCY_KEY, RULES
from pamps.security import digest

HEADER = b"idempotency-key"
KEY = re.compile(IDEMPOTENCY_KEY.encode())
SEED = 32  # bytes, new for each answer


class Asked:
    """A request with a key: what it is known by."""

    def __init__(self, key: bytes, whole: bytes):
        self.key = key
        self.whole = whole

    @classmethod
    async def by(cls, request: Request) -> "Asked":
        """Raises MalformedIdempotencyKey."""
        sent = b", ".join(value for name, value in request.scope["headers"] if name == HEADER)
        found = KEY.fullmatch(sent)
        if not found:
            raise errors.MalformedIdempotencyKey(RULES[IDEMPOTENCY_KEY])
        key = re.sub(rb"\\(.)", rb"\1", found[2]) if found[2] else found[3]
        path = request.scope["raw_path"].rstrip(b"/")
        # None of the parts but the last can have a NUL in it.
        return cls(key, b"\0".join((key, path, request.scope["query_string"], await request.body())))

    def id(self, owner: int | None) -> bytes:
        """What the key of a user, or of nobody who is signed in, is found by. No secret: those change."""
        return digest(b"%d\0%b" % (owner or 0, self.key))

    def fingerprint(self, secret: str) -> bytes:
        """Tells whether another request is the same. Nobody can try out bodies who has not the secret and the key."""
        return hmac.digest(secret.encode(), b"a request\0" + self.whole, "sha256")

    def sealed(self, answer: bytes, secret: str) -> bytes:
        """A body as it is kept: a new seed, and the body in a cipher that takes our secret and the whole request."""
        seed = token_bytes(SEED)
        return seed + self.ciphered(answer, seed, secret)

    def unsealed(self, kept: bytes, secret: str) -> bytes:
        return self.ciphered(kept[SEED:], kept[:SEED], secret)

    def ciphered(self, body: bytes, seed: bytes, secret: str) -> bytes:
        """A body XOR as much of a stream that its seed makes with the secret and the request; twice, it is as before.

        HMAC-SHA-256 makes a key that serves this once, and SHAKE256 (FIPS 202) makes the stream of it.
        """
        key = hmac.digest(secret.encode(), b"its answer\0" + seed + self.whole, "sha256")
        stream = hashlib.shake_256(key).digest(len(body))
        return (int.from_bytes(body) ^ int.from_bytes(stream)).to_bytes(len(body))
