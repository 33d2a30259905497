"""What the database's errors mean: constraints by their names, and how a database is out of reach."""

import asyncio
from collections.abc import Callable

import asyncpg

from pamps import errors
from pamps.errors import PampsError

CONSTRAINTS: dict[str, type[PampsError]] = {
    "user_username_key": errors.UsernameTaken,
    "user_username_reserved_check": errors.UsernameReserved,
    "user_email_key": errors.EmailTaken,
    "user_last_admin": errors.LastAdmin,
    "session_name_key": errors.TokenNameTaken,
    "session_not_too_many": errors.TooManyTokens,
    "social_not_self_check": errors.SelfFollow,
    "social_followed_id_fkey": errors.UserNotFound,
    "like_post_id_fkey": errors.PostNotFound,
    "like_post_alive": errors.PostNotFound,
    "post_parent_id_fkey": errors.ParentNotFound,
    "post_parent_alive": errors.ParentNotFound,
    "post_not_own_parent_check": errors.ParentNotFound,
    # The viewer's account went while the statement ran.
    "social_follower_id_fkey": errors.SessionEnded,
    "like_user_id_fkey": errors.SessionEnded,
    "post_user_id_fkey": errors.SessionEnded,
    "idempotency_key_user_id_fkey": errors.SessionEnded,
    "idempotency_key_pkey": errors.IdempotencyKeyInUse,
}

BY_CODE: dict[str, Callable[..., PampsError]] = {
    error.code: error
    for error in (
        *(errors.PostNotFound, errors.UserNotFound, errors.NotTheAuthor, errors.NotAllowed),
        *(errors.EmailVerified, errors.MailedAlready, errors.RecentSignInNeeded),
        *(errors.TwoFactorOn, errors.TwoFactorOff, errors.CodeRefused),
    )
}

UNAVAILABLE = (
    OSError,  # no server at that address, the connection broke, or nothing came in time (TimeoutError)
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # the same, found out between the server's farewell and the end of the connection
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, crashed
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.PostgresSystemError,  # the server's own I/O failed
    asyncpg.IdleInTransactionSessionTimeoutError,  # we stood still, and held up others
)
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
BUSY = (
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.LockNotAvailableError,  # lock_timeout
    *COLLIDED,
)
SCHEMA_BEHIND = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)


def meaning(error: Exception) -> PampsError | None:
    """What an error of the database means to a client; None where it is our own mistake."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        refusal = CONSTRAINTS.get(error.constraint_name or "")
        return refusal() if refusal else None
    if isinstance(error, BUSY):
        return errors.DatabaseBusy()
    if isinstance(error, UNAVAILABLE):
        return errors.DatabaseUnavailable()
    if isinstance(error, SCHEMA_BEHIND):
        return errors.SchemaBehind()
    return None


class Meanings:
    """Turns the database's errors into ours. `lost` tells whoever can do something about it that it is out of reach."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and (refusal := meaning(error)):
            if isinstance(refusal, errors.DatabaseUnavailable):
                self.lost.set()
            raise refusal from error
