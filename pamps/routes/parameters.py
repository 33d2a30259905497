"""The parameters in our paths, and in more than one query."""

from typing import Annotated

from fastapi import Path, Query

from pamps.models.shape import ID_OR_USERNAME, MAX_ID, USERNAME, InDigits

PostId = Annotated[int, Path(ge=1, le=MAX_ID, description="The id of a post."), InDigits]
SessionId = Annotated[int, Path(ge=1, le=MAX_ID, description="The id of a session."), InDigits]
TokenId = Annotated[int, Path(ge=1, le=MAX_ID, description="The id of a personal token."), InDigits]
UsernameInPath = Annotated[
    str, Path(pattern=USERNAME, description="A username; case does not matter.", examples=["ada"])
]
# A username is never all digits, so the two can't be taken for one another.
UserIdOrName = Annotated[
    str, Path(pattern=ID_OR_USERNAME, description="The id of a user, or a username.", examples=["ada"])
]

IncludeReplies = Annotated[bool, Query(description="Whether replies are among the posts.")]
