"""The parameters in our paths."""

from typing import Annotated

from fastapi import Path

from pamps.models.shape import MAX_ID, USERNAME

PostId = Annotated[int, Path(ge=1, le=MAX_ID, description="The id of a post.")]
SessionId = Annotated[int, Path(ge=1, le=MAX_ID, description="The id of a session.")]
UsernameInPath = Annotated[
    str, Path(pattern=USERNAME, description="A username; case does not matter.", examples=["ada"])
]
# A username is never all digits, so the two can't be taken for one another.
UserIdOrName = Annotated[
    str,
    Path(pattern=rf"^[1-9][0-9]{{0,15}}$|{USERNAME}", description="The id of a user, or a username.", examples=["ada"]),
]
