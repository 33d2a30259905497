"""What a route's function is called with, worked out once at start from FastAPI's own reading of its signature.

FastAPI works it out anew with each request, for every kind of dependency that there may be, which takes longer than all
else that we do with a request. Here are the few kinds that we have; a route with any other is left to FastAPI.
"""

import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response
from fastapi._compat import ModelField, get_missing_field_error
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Body

from pamps.errors import MalformedBody
from pamps.telemetry import validation_failed

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

ABSENT = object()  # the value of what was not sent
UNFIT = object()  # the result of what was not called

# Of JSON, the brackets, and the texts in which they mean nothing. One that does not end is one that json.loads refuses.
BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*+"?|[\[\]{}]', re.DOTALL)

# What makes a dependency one of another kind.
OTHERS = (
    "header_params",
    "cookie_params",
    "websocket_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "concurrency",
)


@dataclass(frozen=True)
class Parameter:
    """A parameter: in the path, in the query, or the whole of a JSON body."""

    place: str
    name: str
    alias: str
    field: ModelField
    required: bool
    default: Any

    @classmethod
    def of(cls, place: str, field: ModelField) -> "Parameter":
        required = field.field_info.is_required()
        return cls(place, field.name, field.alias, field, required, None if required else field.get_default())

    def value(self, request: Request, body: Any) -> tuple[Any, list[Any]]:
        """Its value, and what is wrong with it."""
        place: tuple[str, ...]
        if self.place == "body":
            found, place = body, ("body",)
        else:
            found = ABSENT
            if self.place == "path":
                found = request.path_params.get(self.alias, ABSENT)
            place = (self.place, self.alias)
            if self.place == "query" and request.scope["query_string"]:
                values = request.query_params.getlist(self.alias)
                if len(values) > 1:
                    return None, [{"type": "repeated", "loc": place, "msg": "Should be there once", "input": values}]
                found = values[0] if values else ABSENT
        if found is not ABSENT:
            return self.field.validate(found, {}, loc=place)
        if self.required:
            return None, [get_missing_field_error(loc=place)]
        return self.default, []


@dataclass(frozen=True)
class Step:
    """One function to call: with the results of earlier steps, parameters, and the request."""

    call: Callable[..., Any]
    earlier: tuple[tuple[str, int], ...]
    parameters: tuple[Parameter, ...]
    request: str | None


def handler(dependant: Dependant) -> Handler | None:
    """What answers a route: its function, called after those it depends on. None where that is FastAPI's to do."""
    steps: list[Step] = []
    if not added(dependant, steps):
        return None
    plan = tuple(steps)
    takes_body = any(parameter.place == "body" for step in steps for parameter in step.parameters)

    async def answer(request: Request) -> Response:
        body = await read_json(request) if takes_body else ABSENT
        results: list[Any] = []
        wrong: list[Any] = []
        for step in plan:
            arguments = {name: results[index] for name, index in step.earlier}
            if step.request:
                arguments[step.request] = request
            fit = not wrong or (step is not plan[-1] and not any(value is UNFIT for value in arguments.values()))
            for parameter in step.parameters:
                arguments[parameter.name], errors = parameter.value(request, body)
                if errors:
                    wrong += errors
                    fit = False
            # As FastAPI does: what depends on a bad parameter is not called, all else but the route itself is.
            results.append(await step.call(**arguments) if fit else UNFIT)
        if wrong:
            refusal = RequestValidationError(wrong)
            validation_failed(refusal)
            raise refusal
        found: Response = results[-1]
        return found

    return answer


def unrepeated(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that names nothing twice: of two values others on the way may have looked at the other one."""
    found = dict(members)
    if len(found) < len(members):
        raise MalformedBody("an object in the body names something twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=unrepeated)


async def read_json(request: Request) -> Any:
    """A JSON body; ABSENT if there is none. Raises MalformedBody."""
    try:
        raw = await request.body()
        if not raw:
            return ABSENT
        bounded_depth(raw, request.app.state.settings.server.max_json_depth)
        # Of bytes json would also take UTF-16 and UTF-32, in which not every byte that looks like a quote is one.
        return DECODER.decode(raw.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg} at {error.pos}") from None
    except (ValueError, RecursionError):  # ValueError: not UTF-8, or a number of thousands of digits
        raise MalformedBody() from None


def bounded_depth(raw: bytes, most: int) -> None:
    """Raises MalformedBody for JSON that is nested deeper than that. What has few brackets is not looked at closely."""
    if raw.count(b"[") + raw.count(b"{") <= most:
        return
    depth = 0
    for found in BRACKETS.finditer(raw):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > most:
            raise MalformedBody(f"the body is nested more than {most} deep, at {found.start()}")


def added(dependant: Dependant, steps: list[Step]) -> bool:
    """Add what a dependant depends on, and then itself; false if it is of another kind."""
    call, bodies = dependant.call, dependant.body_params
    if call is None or not awaited(call) or any(getattr(dependant, name) for name in OTHERS):
        return False
    if len(bodies) > 1 or any(type(body.field_info) is not Body for body in bodies):
        return False
    earlier = []
    for inner in dependant.dependencies:
        known = next((index for index, step in enumerate(steps) if step.call is inner.call), None)
        if known is None:
            if not added(inner, steps):
                return False
            known = len(steps) - 1
        if inner.name is not None:
            earlier.append((inner.name, known))
    parameters = [
        Parameter.of(place, field)
        for place, fields in (("path", dependant.path_params), ("query", dependant.query_params), ("body", bodies))
        for field in fields
    ]
    request = dependant.request_param_name or dependant.http_connection_param_name
    steps.append(Step(call, tuple(earlier), tuple(parameters), request))
    return True


def awaited(call: Callable[..., Any]) -> bool:
    """Whether a call is a coroutine: neither a generator nor something for a thread."""
    return iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
