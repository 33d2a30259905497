"""The shape of every error, RFC 9457."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def without_default(schema: dict[str, Any]) -> None:
    """For what is absent where there is none: generated clients take what has a default for always there."""
    del schema["default"]


class Invalid(BaseModel):
    """One thing that is wrong with a request: where, and what."""

    model_config = ConfigDict(extra="forbid")

    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """An error. `code` is stable: program against it; `detail` is for people; `errors` comes with `invalid-request`."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Invalid] = Field([], json_schema_extra=without_default)

    def body(self) -> dict[str, Any]:
        """As it is sent: without `errors` where there are none."""
        return self.model_dump(exclude_defaults=True)
