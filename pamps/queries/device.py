"""The networks that people sign in from: which are known, and which are no longer."""

from sqlalchemy import CTE, Integer, bindparam, delete, exists, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from pamps.models.device import devices
from pamps.queries.attempt import NETWORK
from pamps.queries.sql import Column

MOST = 20  # of one user
SWEPT = 10  # of others at once; a sign-in adds one at most
KNOWN_FOR_DAYS = bindparam("known_for_days", type_=Integer)


def lately() -> Column:
    """That a device was seen not too long ago to be known. By now(): clock_timestamp() is not looked up in an index."""
    recent: Column = devices.c.last_seen > func.now() - func.make_interval(0, 0, 0, KNOWN_FOR_DAYS)
    return recent


def known_here(user: Column) -> Column:
    """That a user has signed in from this network of late."""
    return exists().where(devices.c.user_id == user, devices.c.network == NETWORK, lately())


def anywhere(user: Column) -> Column:
    """That a user is known somewhere."""
    return exists().where(devices.c.user_id == user)


def seen(user: Column) -> CTE:
    """Notes the network that a user, of a CTE, has come from."""
    rows = select(user, NETWORK, func.clock_timestamp()).where(NETWORK.is_not(None))
    noted = insert(devices).from_select(["user_id", "network", "last_seen"], rows)
    return (
        noted.on_conflict_do_update(constraint="device_pkey", set_={"last_seen": noted.excluded.last_seen})
        .returning(devices.c.user_id)
        .cte("seen")
    )


def forgotten(user: Column) -> CTE:
    """Sweeps what is known for too long, of anybody, and of a user all but the latest."""
    others = select(devices.c.user_id, devices.c.network).where(
        or_(devices.c.user_id != user, devices.c.network.is_distinct_from(NETWORK))
    )
    old = (
        others.where(~lately()).order_by(devices.c.last_seen).limit(SWEPT).with_for_update(skip_locked=True)
    ).subquery("old")
    too_many = (
        others.where(devices.c.user_id == user)
        .order_by(devices.c.last_seen.desc())
        .offset(MOST - 1)
        .with_for_update(skip_locked=True)
    ).subquery("too_many")
    gone = select(old).union(select(too_many))
    return (
        delete(devices)
        .where(tuple_(devices.c.user_id, devices.c.network).in_(gone))
        .returning(devices.c.user_id)
        .cte("forgotten")
    )
