"""Passwords: hash and verify them."""

import asyncio
import ctypes
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio
from passlib.context import CryptContext

from pamps.config import Security

Answer = TypeVar("Answer")

M_MMAP_THRESHOLD = -3  # in malloc.h
BCRYPT_MAX = 72  # bytes; what is longer was cut off when the hash was made


class Passwords:
    """Hashes and verifies passwords: argon2id; bcrypt from elsewhere is accepted, and replaced when it is seen.

    The work is done in threads, no more than `hash_concurrency` at once, so that a burst of sign-ins neither stalls the
    other requests nor takes all the memory. The threads are always the same: the C library keeps a heap for each, and
    with new ones now and then a process would grow.
    """

    def __init__(self, settings: Security):
        self.context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=settings.argon2_memory,
            argon2__time_cost=settings.argon2_passes,
            argon2__parallelism=settings.argon2_lanes,
        )
        give_memory_back()
        self.limiter = anyio.CapacityLimiter(settings.hash_concurrency)
        self.threads = ThreadPoolExecutor(settings.hash_concurrency, "passwords")
        self.dummy = self.context.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash of a password."""
        return await self.in_a_thread(self.context.hash, password)

    async def verify(self, password: str, known: str | None) -> bool:
        """Whether a password is the one behind a hash. None, for an unknown user, takes the same time and is false."""
        return await self.in_a_thread(self.matches, password, known or self.dummy) and known is not None

    async def in_a_thread(self, work: Callable[..., Answer], *arguments: str) -> Answer:
        async with self.limiter:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    def matches(self, password: str, known: str) -> bool:
        secret = password.encode()
        if self.context.identify(known) == "bcrypt":
            secret = secret[:BCRYPT_MAX]
        try:
            return bool(self.context.verify(secret, known))
        except ValueError:  # a hash that can't be read, or a password that no hash can have, such as one with a NUL
            return False

    def outdated(self, known: str) -> bool:
        """Whether a hash is of another kind or cost than today's."""
        return bool(self.context.needs_update(known))


def give_memory_back() -> None:
    """Have memory as large as a password's hash or a long thread takes given back when it is done with.

    glibc begins so, and would keep it for the next one once it has seen some given back, for each thread (mallopt(3),
    M_MMAP_THRESHOLD, whose first value this is).
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # other C libraries have none, and no need of it
        mallopt(M_MMAP_THRESHOLD, 128 * 1024)
