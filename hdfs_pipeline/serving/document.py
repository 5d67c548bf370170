"""The OpenAPI document: what FastAPI makes of the routes, with scopes, and answers as they really are."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from hdfs_pipeline.serving.problems import MEDIA_TYPE
from hdfs_pipeline.serving.shapes.base import LONGEST

_JSON: Final = "application/json"
SCOPE = "x-scope"
"""The field of an operation that names the scope of the token that it needs."""


def complete_document(app: FastAPI) -> None:
    """Let an application's document say what each route needs a token for, and of which kind problems are."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _leave_out_longest(plain())
            paths = plain()["paths"]
            for context in iter_route_contexts(app.routes):
                for method in context.methods or ():
                    named = (context.path or "").replace(
                        ":path}", "}"
                    )  # as OpenAPI writes a parameter that may hold a slash
                    operation = paths.get(named, {}).get(method.lower())
                    if operation is not None:
                        _complete(operation, context)
        return app.openapi_schema or {}

    app.openapi = document  # type: ignore[method-assign] # FastAPI's own way to change the document


def _leave_out_longest(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("maxLength") == LONGEST:
            del part["maxLength"]
        part = part.values()
    elif not isinstance(part, list):
        return
    for each in part:
        _leave_out_longest(each)


def _complete(operation: dict[str, Any], context: Any) -> None:
    for each in context.dependencies:
        if scope := getattr(each.dependency, "scope", ""):
            operation[SCOPE] = scope
    answers = operation["responses"]
    for status, answer in answers.items():
        if status >= "400":
            answer["content"] = {MEDIA_TYPE: next(iter(answer["content"].values()))}
    # What comes in several forms, as files and streams do, is not polled.
    if "get" in map(str.lower, context.methods) and [*answers.get("200", {}).get("content", {})] == [_JSON]:
        answers["304"] = {"description": "What the client has, by its ETag in `If-None-Match`, is still so."}
