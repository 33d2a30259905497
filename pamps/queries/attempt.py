"""Guesses at passwords and codes: counted before they are looked at, and forgiven, by functions of the migration."""

from typing import Any

from sqlalchemy import ARRAY, Boolean, Double, Integer, LargeBinary, Text, bindparam, cast, func, null
from sqlalchemy.dialects.postgresql import array

from pamps.queries.sql import Column

LOGIN = bindparam("login", type_=Text)
ADDRESS = bindparam("address", type_=Text)
NETWORK = bindparam("network", type_=Text)
KNOWN_HERE = bindparam("known_here", type_=Boolean)

ACCOUNT_FREE = bindparam("account_free", type_=Integer)
ADDRESS_FREE = bindparam("address_free", type_=Integer)
DELAYS = tuple(bindparam(name, type_=Double) for name in ("first_delay", "longest_delay", "forgotten_after"))

NOTHING: Column = cast(null(), LargeBinary)


def by_login() -> Column:
    """Guesses at what was typed as a username or an email, be there such an account or not."""
    return func.attempt_key("login", LOGIN, type_=LargeBinary)


def by_address() -> Column:
    """Guesses from an address, at accounts that are not known there; null where the address is not known."""
    return func.attempt_key("address", ADDRESS, type_=LargeBinary)


def by_device(user: Column) -> Column:
    """Guesses at a user from a network that the user is known in."""
    return func.attempt_key("device", func.concat(user, " ", NETWORK), type_=LargeBinary)


def by_session(session: Column) -> Column:
    """Guesses by whoever has the token of a session; not by its user, whom a thief shall not hold up."""
    return func.attempt_key("session", func.concat(session), type_=LargeBinary)


def guess(*counted: tuple[Column, Column]) -> Column:
    """Counts a guess by keys, each with what goes before its first delay. Seconds to wait; 0 where it was counted."""
    keys, free = zip(*counted, strict=True)
    return func.count_guess(
        array(keys, type_=ARRAY(LargeBinary)), array(free, type_=ARRAY(Integer)), *DELAYS, type_=Double
    )


def taken_back(*keys: Column) -> Column:
    """Takes back a guess that was not wrong, and forgives no other."""
    return func.take_back_guess(array[Any](keys, type_=ARRAY(LargeBinary)))


def forgiven(user: Column, also: Column = NOTHING, partly: Column = NOTHING) -> Column:
    """Forgets the failures at a user's account, for whoever knows the password or was mailed a way to set another.

    Those by the key `also` too, and of those by the key `partly` one.
    """
    return func.forgive_guesses(user, also, partly)
