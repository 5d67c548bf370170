"""The API's documents agree: OpenAPI, the page /docs, and docs/api.md."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.serving.app import create_app
from hdfs_pipeline.serving.document import SCOPE
from hdfs_pipeline.settings import PROJECT, load_settings
from hdfs_pipeline_tests.serving.test_app import OPEN, routes

DOCUMENT = create_app(load_settings(Path("/nowhere"))).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": found
    for path, methods in DOCUMENT["paths"].items()
    for method, found in methods.items()
}


def sections() -> dict[str, str]:
    """What docs/api.md says under the heading of each route."""
    text = (PROJECT / "docs" / "api.md").read_text()
    return dict(re.findall(r"^### (\w+ /\S+)\n(.*?)(?=^### |^## |\Z)", text, re.MULTILINE | re.DOTALL))


def test_the_docs_have_a_heading_for_every_route_and_for_no_other() -> None:
    assert sections().keys() == OPERATIONS.keys()


@pytest.mark.parametrize("title", OPERATIONS)
def test_the_docs_name_scope_and_parameters_of_every_route(title: str) -> None:
    told, found = sections()[title], OPERATIONS[title]
    assert f"Scope `{found[SCOPE]}`" in told if SCOPE in found else "No token is needed" in told
    assert [each["name"] for each in found.get("parameters", ()) if f"`{each['name']}`" not in told] == []
    assert " ".join(found["description"].split()) in " ".join(told.split())


def test_the_document_names_the_scope_of_every_route() -> None:
    known = {f"{route.method} {route.path.replace(':path}', '}')}": route for route in routes()}
    for title, found in OPERATIONS.items():
        assert found.get(SCOPE) == (known[title].scopes or (None,))[0]
        assert (SCOPE in found) != (known[title].path in OPEN)


@pytest.mark.parametrize("title", OPERATIONS)
def test_every_problem_has_the_one_shape_and_type(title: str) -> None:
    for status, answer in OPERATIONS[title]["responses"].items():
        if status >= "400":
            schema = {"$ref": "#/components/schemas/Problem"}
            assert answer["content"] == {"application/problem+json": {"schema": schema}}
    names: Any = [found["operationId"] for found in OPERATIONS.values()]
    assert len(names) == len(set(names))


def test_the_page_shows_every_route_and_shape_and_runs_no_script_of_its_own(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for title, found in OPERATIONS.items():
        assert f'<h2 id="{found["operationId"]}"><code>{title}</code></h2>' in page.text
    for shape in DOCUMENT["components"]["schemas"]:
        assert f'id="shape-{shape}"' in page.text
    linked = set(re.findall(r'href="#([^"]+)"', page.text))
    assert linked <= set(re.findall(r'id="([^"]+)"', page.text))
    assert "<script>" not in page.text and "style=" not in page.text and " onclick" not in page.text
