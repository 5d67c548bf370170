"""The page about the API, made of its OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.document import SCOPE
from hdfs_pipeline.serving.home import TheHome, needs
from hdfs_pipeline.serving.pages.render import respond

router = APIRouter(include_in_schema=False)

_REF: Final = "#/components/schemas/"
_PROBLEMS: Final = "400"  # statuses from here on have one shape


@router.get("/docs", dependencies=[needs("read")])
async def docs(request: Request, home: TheHome) -> Response:
    """Every route with its parameters, bodies, answers and scope, and every shape."""
    return await respond(request, home, "docs.html", lambda: _values(request.app.openapi()), STORE_S)


def _values(document: Mapping[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    return {
        "info": document["info"],
        "operations": list(_operations(document)),
        "shapes": {name: list(_fields(shape)) for name, shape in schemas.items()},
        "about": {name: shape.get("description", "") for name, shape in schemas.items()},
    }


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in sorted(document["paths"].items()):
        for method, found in methods.items():
            yield {
                "id": found["operationId"],
                "title": f"{method.upper()} {path}",
                "about": found.get("description", ""),
                "scope": found.get(SCOPE, ""),
                "parameters": [
                    {
                        "name": each["name"],
                        "where": each["in"],
                        "type": kind(each["schema"]),
                        "default": each["schema"].get("default", ""),
                        "about": each.get("description", ""),
                    }
                    for each in found.get("parameters", [])
                ],
                "bodies": list(_contents(found.get("requestBody", {}))),
                "answers": [
                    {"status": status, "about": answer["description"], "contents": list(_contents(answer))}
                    for status, answer in sorted(found["responses"].items())
                    if status < _PROBLEMS
                ],
                "problems": [status for status in sorted(found["responses"]) if status >= _PROBLEMS],
            }


def _contents(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The media types of a body or an answer, each with the name of its shape."""
    for media, found in part.get("content", {}).items():
        yield media, kind(found.get("schema", {}))


def _fields(shape: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    required = set(shape.get("required", ()))
    for name, field in shape.get("properties", {}).items():
        yield {"name": name, "type": kind(field), "needed": name in required, "about": field.get("description", "")}


def kind(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a word or two: the name of its shape, its values, or its type."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    if "anyOf" in schema:
        return " or ".join(kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if schema.get("format") == "binary":
        return "bytes"
    return str(schema.get("type", "anything"))
