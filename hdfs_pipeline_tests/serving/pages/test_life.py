"""The picture of an item's life: every record in its order, on the line of its server, with the times between."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.serving.pages.life import life_of

BEGAN = datetime(2026, 11, 21, 14, tzinfo=UTC)


def record(after_s: float, host: str, **more: Any) -> dict[str, Any]:
    return {"time": BEGAN + timedelta(seconds=after_s), "host": host, "daemon": "datanode", "line": "a record"} | more


def test_records_stand_in_their_order_on_the_line_of_their_server() -> None:
    found = life_of([record(0, "nn"), record(0.5, "dn1"), record(20, "dn2", telling=True), record(90_000, "nn")])
    assert [name for _, name in found.lanes] == ["nn", "dn1", "dn2"]
    places = {name: y for y, name in found.lanes}
    assert [step.y for step in found.steps] == [places["nn"], places["dn1"], places["dn2"], places["nn"]]
    assert [step.telling for step in found.steps] == [False, False, True, False]
    told = dict(found.ticks)
    assert told[found.steps[0].x] == "first" and told[found.steps[3].x] == "+25 h"
    assert found.hidden == 0


def test_a_record_without_a_host_stands_on_the_line_of_its_daemon_or_log() -> None:
    found = life_of([record(0, "", daemon="namenode"), {"time": BEGAN, "line": "x"}])
    assert [name for _, name in found.lanes] == ["namenode", "the log"]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.sampled_from(["a", "b", "c"])), max_size=150))
def test_all_fits_into_the_picture(rows: list[tuple[float, str]]) -> None:
    found = life_of([record(after, host) for after, host in sorted(rows)])
    assert len(found.steps) + found.hidden == len(rows)
    assert all(found.left < step.x < found.width and 0 < step.y < found.height for step in found.steps)
    assert all(one.x < other.x for one, other in zip(found.steps, found.steps[1:], strict=False))
    assert all(abs(one - other) >= 64 for (one, _), (other, _) in zip(found.ticks, found.ticks[1:], strict=False))


def test_a_life_without_records_is_an_empty_picture() -> None:
    assert life_of([]).steps == []


def test_what_another_life_lacks_is_marked_and_said() -> None:
    found = life_of([record(0, "nn"), record(1, "dn1", telling=True)], [False, True], "extra here")
    assert [(step.marked, step.label.startswith("extra here: ")) for step in found.steps] == [
        (False, False),
        (True, True),
    ]
