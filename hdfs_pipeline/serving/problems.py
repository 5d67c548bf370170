"""What a client is told when a request cannot be answered: one JSON shape for every error (RFC 9457)."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from hdfs_pipeline.errors import (
    ConflictError,
    DataError,
    NotFoundError,
    NotTrainedError,
    PipelineError,
    SetupError,
    UsageError,
)
from hdfs_pipeline.shown import plain, without_secrets

_log = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/problem+json"
RETRY_S: Final = 2
"""Seconds after which a client may ask again where the store or a broker is away."""
_STATUS: Final[tuple[tuple[type[PipelineError], int], ...]] = (  # the first that fits
    (ConflictError, 409),
    (UsageError, 400),
    (NotFoundError, 404),
    (DataError, 422),
    (NotTrainedError, 409),
    (SetupError, 503),
)


class Problem(BaseModel):
    """An error as RFC 9457 has it: `title` names its kind, `detail` says what is wrong and what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    fields: dict[str, str] = Field(default_factory=dict, description="What is wrong with which part of the request.")


DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 405, 409, 413, 421, 422, 429, 500, 503)
}
"""The answers that any route may give beside its own, for the OpenAPI document."""


def problem(
    status: int, detail: str, *, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The answer that tells of a problem; without secrets and terminal escapes."""
    told = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=plain(without_secrets(detail)),
        fields={plain(where): plain(without_secrets(why)) for where, why in (fields or {}).items()},
    )
    headers = dict(headers or {})
    if status == 503:
        headers["Retry-After"] = str(RETRY_S)
    return JSONResponse(told.model_dump(), status, headers, MEDIA_TYPE)


def tell_problems(app: FastAPI, show: Callable[[Request, Problem], Response | None]) -> None:
    """Let an application answer every error in this shape, but where `show` has a page for a browser."""

    def answer(request: Request, status: int, detail: str, **more: Any) -> Response:
        told = problem(status, detail, **more)
        return show(request, Problem.model_validate_json(bytes(told.body))) or told

    async def expected(request: Request, error: Any) -> Response:
        return answer(request, next(status for kind, status in _STATUS if isinstance(error, kind)), str(error))

    async def http(request: Request, error: Any) -> Response:
        return answer(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))

    async def invalid(request: Request, error: Any) -> Response:
        fields = {".".join(str(part) for part in each["loc"]): str(each["msg"]) for each in error.errors()}
        where, why = next(iter(fields.items()))
        return answer(request, 422, f"{where}: {why}", fields=fields)

    async def refused(request: Request, error: Any) -> Response:  # a full disk, a folder without rights
        _log.error("the machine refused what %s needs", request.url.path, exc_info=error)
        why = error.strerror or "it took too long"
        return answer(
            request,
            503,
            f"the machine refused what this needs ({why}): the server's log names it; mend that, then ask again",
        )

    async def unexpected(request: Request, _error: Any) -> Response:  # the server logs it, with the trace
        return answer(request, 500, "the server failed over this request; its log says why")

    app.add_exception_handler(PipelineError, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(OSError, refused)
    app.add_exception_handler(Exception, unexpected)
