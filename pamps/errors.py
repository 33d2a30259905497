"""The error tree: everything that Pamps refuses, with a status and a stable code each.

`problems.py` renders these over HTTP as RFC 9457 problems; the command line prints `detail` as one red line.
"""

import math
from typing import ClassVar


class PampsError(Exception):
    """Something that Pamps refuses to do, said so that its reader can act on it.

    `status` is the HTTP status, `code` the stable name that clients may rely on, `title` the same for people,
    `detail` what happened this time, `headers` what the HTTP answer always carries besides, `sent` those of this time.
    """

    status = 500
    code = "internal-error"
    title = "Something went wrong on our side"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, detail: str | None = None, headers: dict[str, str] | None = None):
        self.detail = detail or self.title
        self.sent = {**self.headers, **(headers or {})}
        super().__init__(self.detail)


class ConfigurationError(PampsError):
    """A setting that Pamps can't run with; only ever seen at start."""

    code = "bad-configuration"
    title = "The configuration is not usable"


class EmbeddedError(PampsError):
    """The embedded PostgreSQL can't be made, started or stopped; only ever seen at start and by commands."""

    code = "embedded-postgresql"
    title = "The embedded PostgreSQL can't be used"


class BackupError(PampsError):
    """A backup can't be written or restored; only ever seen by commands."""

    code = "backup"
    title = "The backup can't be written or read"


# 400


class MalformedBody(PampsError):
    status = 400
    code = "malformed-body"
    title = "The body can't be read"


class UnsupportedGrant(PampsError):
    status = 400
    code = "unsupported-grant-type"
    title = "The only grant type here is password"


class MalformedIdempotencyKey(PampsError):
    status = 400
    code = "malformed-idempotency-key"
    title = "The Idempotency-Key can't be read"


class MalformedRequest(PampsError):
    status = 400
    code = "malformed-request"
    title = "That is not a request of HTTP"


# 401


class Unauthenticated(PampsError):
    status = 401
    headers: ClassVar = {"WWW-Authenticate": "Bearer"}


class NotSignedIn(Unauthenticated):
    code = "not-signed-in"
    title = "Sign in first: send an access token as Authorization: Bearer ..."


class InvalidToken(Unauthenticated):
    code = "invalid-token"
    title = "That is not a token of ours"
    headers: ClassVar = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class TokenExpired(InvalidToken):
    code = "token-expired"
    title = "The token has expired; refresh it or sign in again"


class SessionEnded(InvalidToken):
    code = "session-ended"
    title = "The session has ended; sign in again"


class WrongCredentials(Unauthenticated):
    code = "wrong-credentials"
    title = "The username or the password is wrong"


class CodeNeeded(Unauthenticated):
    code = "code-needed"
    title = "The password is right; send a code of the second factor as well"


class WrongCode(Unauthenticated):
    code = "wrong-code"
    title = "The code is wrong, or was used before"


# 403


class Forbidden(PampsError):
    status = 403


class InsufficientScope(Forbidden):
    code = "insufficient-scope"
    title = "The token is not for this"
    headers: ClassVar = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}

    def __init__(self, scope: str):
        challenge = f'{self.headers["WWW-Authenticate"]}, scope="{scope}"'  # RFC 6750, section 3.1
        super().__init__(f"The token is not for this: it lacks the scope {scope}", {"WWW-Authenticate": challenge})


class SignInNeeded(Forbidden):
    code = "sign-in-needed"
    title = "A personal token can't do this; sign in"


class RecentSignInNeeded(Forbidden):
    code = "recent-sign-in-needed"
    title = "Only soon after a sign-in; sign in again"


class AccountSuspended(Forbidden):
    code = "account-suspended"
    title = "The account is suspended"

    def __init__(self, reason: str):
        super().__init__(f"{self.title}: {reason}")


class NotAllowed(Forbidden):
    code = "not-allowed"
    title = "Your role does not let you do this"


class NotTheAuthor(Forbidden):
    code = "not-the-author"
    title = "Only its author may change a post"


class WrongPassword(Forbidden):
    code = "wrong-password"
    title = "The password is wrong"


class CodeRefused(Forbidden):
    code = "code-refused"
    title = "The code is wrong, or was used before"


class LinkInvalid(Forbidden):
    code = "link-invalid"
    title = "That link has been used, is too old or is none of ours; ask for a new one"


# 404


class NotFound(PampsError):
    status = 404
    code = "not-found"
    title = "There is nothing at this address"


class UserNotFound(NotFound):
    code = "user-not-found"
    title = "There is no such user"


class PostNotFound(NotFound):
    code = "post-not-found"
    title = "There is no such post"


class ParentNotFound(NotFound):
    code = "parent-not-found"
    title = "The post to reply to is not there"


class SessionNotFound(NotFound):
    code = "session-not-found"
    title = "You have no such session"


class TokenNotFound(NotFound):
    code = "token-not-found"
    title = "You have no such personal token"


class MethodNotAllowed(PampsError):
    status = 405
    code = "method-not-allowed"
    title = "This address does not take that method"


class RequestTimeout(PampsError):
    status = 408
    code = "request-timeout"
    title = "The request took too long to come"


# 409


class Conflict(PampsError):
    status = 409


class UsernameTaken(Conflict):
    code = "username-taken"
    title = "That username is taken"


class UsernameReserved(Conflict):
    code = "username-reserved"
    title = "That username is reserved"


class EmailTaken(Conflict):
    code = "email-taken"
    title = "There is an account with that email"


class TokenNameTaken(Conflict):
    code = "token-name-taken"
    title = "You have a personal token of that name"


class TooManyTokens(Conflict):
    code = "too-many-tokens"
    title = "You have 100 personal tokens; end one first"


class EmailVerified(Conflict):
    code = "email-verified"
    title = "Your email is verified already"


class LastAdmin(Conflict):
    code = "last-admin"
    title = "That is the last admin; make somebody else one first"


class SelfFollow(Conflict):
    code = "self-follow"
    title = "You can't follow yourself"


class IdempotencyKeyInUse(Conflict):
    code = "idempotency-key-in-use"
    title = "A request with this Idempotency-Key is just being answered"
    headers: ClassVar = {"Retry-After": "1"}


class TwoFactorOn(Conflict):
    code = "two-factor-on"
    title = "The second factor is on already"


class TwoFactorOff(Conflict):
    code = "two-factor-off"
    title = "There is no second factor"


# 413, 415, 422


class BodyTooLarge(PampsError):
    status = 413
    code = "body-too-large"
    title = "The body is too large"


class UnsupportedMediaType(PampsError):
    status = 415
    code = "unsupported-media-type"
    title = "The body is not of a media type that this address takes"


class InvalidRequest(PampsError):
    status = 422
    code = "invalid-request"
    title = "The request is not valid"


class IdempotencyKeyReused(PampsError):
    status = 422
    code = "idempotency-key-reused"
    title = "This Idempotency-Key came with another request before"


# 429


class TooManyAttempts(PampsError):
    """After wrong guesses at a password or a code; `wait` is seconds until the next one is looked at."""

    status = 429
    code = "too-many-attempts"
    title = "Too many wrong guesses; wait before the next"
    headers: ClassVar = {"Retry-After": ""}

    def __init__(self, wait: float):
        seconds = math.ceil(wait)
        super().__init__(f"{self.title} ({seconds} s)", {"Retry-After": str(seconds)})


class TooManyRequests(PampsError):
    """More than a rate limit lets through; `wait` is seconds until one more will do."""

    status = 429
    code = "too-many-requests"
    title = "That was too much in too short a time"
    headers: ClassVar = {"Retry-After": "1"}

    def __init__(self, wait: int = 1):
        super().__init__(f"{self.title}; try again in {wait} s", {"Retry-After": str(wait)})


class MailedAlready(PampsError):
    """As often as mail of a kind is sent; `wait` is seconds until it would be again."""

    status = 429
    code = "mailed-already"
    title = "That was mailed to you just now, more than once; look for it, or ask again later"
    headers: ClassVar = {"Retry-After": ""}

    def __init__(self, wait: float):
        super().__init__(None, {"Retry-After": str(max(math.ceil(wait), 1))})


class HeadersTooLarge(PampsError):
    status = 431
    code = "headers-too-large"
    title = "The address and the headers are too large"


# 501, 503


class MailNotConfigured(PampsError):
    status = 501
    code = "mail-not-configured"
    title = "This service sends no mail"


class Unavailable(PampsError):
    status = 503
    headers: ClassVar = {"Retry-After": "5"}


class Overloaded(Unavailable):
    code = "overloaded"
    title = "There is more to do than can be done now; try again in a moment"
    headers: ClassVar = {"Retry-After": "1"}


class DatabaseUnavailable(Unavailable):
    code = "database-unavailable"
    title = "The database can't be reached; try again in a moment"


class DatabaseBusy(Unavailable):
    code = "database-busy"
    title = "The database took too long and nothing was written; try again in a moment"
    headers: ClassVar = {"Retry-After": "1"}


class SchemaBehind(Unavailable):
    code = "schema-behind"
    title = "The database's schema is not this version's; run: pamps migrate"
