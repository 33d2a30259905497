"""A request with an `Idempotency-Key`: what it is known by when it comes again, and how its answer is sealed."""

import hmac
import re

from fastapi import Request
from nacl.secret import SecretBox

from pamps import errors
from pamps.models.shape import IDEMPOTENCY_KEY, RULES
from pamps.tokens import digest

HEADER = b"idempotency-key"
KEY = re.compile(IDEMPOTENCY_KEY.encode())


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
        """A body as it is kept: only the same request opens it again, with our secret."""
        return self.box(secret).encrypt(answer)

    def unsealed(self, kept: bytes, secret: str) -> bytes:
        return self.box(secret).decrypt(kept)

    def box(self, secret: str) -> SecretBox:
        return SecretBox(hmac.digest(secret.encode(), b"its answer\0" + self.whole, "sha256"))
