"""The OpenAPI document holds: whatever fits it, or does not, gets an answer that it names, and never a failure."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hdfs_pipeline.serving.app import create_app, guarded
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.letters import Asked, list_letters
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home

EXAMPLES = 25
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ENDLESS = "/api/live"
"""Its answer never ends; test_live.py listens to it."""
ARROW = "application/vnd.apache.arrow.stream"


def table(columns: dict[str, list[int]]) -> bytes:
    """Columns as an Arrow IPC stream."""
    made = pa.table({name: values[: min(map(len, columns.values()))] for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    return sink.getvalue().to_pybytes()


EVENTS = st.sampled_from(["E5", "E22", "E26", "alarms", "id", "E999"])
TABLES = st.dictionaries(EVENTS, st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=9), min_size=1).map(table)
schemathesis.openapi.media_type(ARROW, TABLES | st.binary())


@schemathesis.serializer(ARROW)
def as_it_is(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def api(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    """The OpenAPI document of a home with blocks, scores, anomalies and incidents, bound to its application."""
    home = copy_home(trained, tmp_path_factory.mktemp("openapi") / "home")
    score_items(home.store, home.settings, BLOCKS, "random_forest")
    publish_anomalies(home.store, home.settings, BLOCKS, "random_forest")
    publish_incidents(home.store, home.settings, BLOCKS)
    with home.store.write() as con:
        con.execute("INSERT INTO dead_letters SELECT 1, '/nowhere/a.log', 7, 'no log record', 'text', now()")
    (letter,) = list_letters(home.store, Asked(source="nowhere"), 1)[1]
    found = schemathesis.openapi.from_asgi("/openapi.json", guarded(create_app(home.settings)))
    ((incident, item),) = home.rows("SELECT min(id), (SELECT min(item) FROM anomalies) FROM incidents")
    return found, {"/api/incidents": incident, "/api/blocks": item, "/api/dead-letters": letter["id"]}


def operations() -> list[tuple[str, str]]:
    """Method and path of each operation that the document names."""
    paths = create_app(load_settings(Path("/nowhere"))).openapi()["paths"]
    return [(method.upper(), path) for path, found in paths.items() if path != ENDLESS for method in found]


@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), operations(), ids=lambda part: part)
def test_every_answer_is_one_that_the_document_names(
    method: str, path: str, mode: schemathesis.GenerationMode, api: tuple[Any, dict[str, str]]
) -> None:
    """Questions that fit the document, and such as do not; of things that there are and of such as there are not."""
    document, there = api
    known = there.get(path.partition("/{")[0])

    @given(case=document[path][method].as_strategy(generation_mode=mode), of_known=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    def check(case: Any, of_known: bool) -> None:
        if of_known and known is not None:
            case.path_parameters["identity"] = known
        case.call_and_validate(checks=CHECKS)

    try:
        check()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # a route without parameters fits whatever is asked
