"""Roles and suspension, which are columns of the table `user`: the shapes that moderators see."""

from typing import Annotated, Literal

from pydantic import Field

from pamps.models.shape import NOT_BLANK, Answer, Id, Instant, Request, Username

Role = Literal["user", "moderator", "admin"]
Reason = Annotated[str, Field(max_length=500, pattern=NOT_BLANK, examples=["Spam."])]


class SuspensionRequest(Request):
    """To suspend an account. Its owner is told the reason when they try to sign in."""

    reason: Reason


class RoleRequest(Request):
    """To give somebody a role."""

    role: Role


class StandingResponse(Answer):
    """How an account stands: its role, and since when and why it is suspended, if it is."""

    id: Id
    username: Username
    role: Role
    suspended_at: Instant | None
    suspended_reason: str | None
