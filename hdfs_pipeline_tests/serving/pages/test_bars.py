"""The timeline of an incident: what is drawn adds up to what the table and the sentence say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.serving.pages.bars import bars_of

BEGIN = datetime(2026, 11, 21, 23, 59, 30, tzinfo=UTC)


def about(own: list[int], others: list[int], step_s: float = 60.0) -> dict[str, Any]:
    end = BEGIN + timedelta(seconds=step_s * len(own))
    line = {"begin": BEGIN.isoformat(), "end": end.isoformat(), "step_s": step_s, "own": own, "others": others}
    inner = [(BEGIN + (end - BEGIN) * share).isoformat() for share in (0.25, 0.75)]
    return {"timeline": line, "started_at": inner[0], "ended_at": inner[1]}


def test_the_sentence_says_when_most_came() -> None:
    assert bars_of(about([1, 5, 0], [0, 2, 0])).summary == (
        "Most came at 00:00:30 UTC: 5 within 60 s, 6 in all. Around that time there were 2 other anomalies."
    )
    assert bars_of(about([0, 0], [3, 0])).summary == "The anomalies of this incident are no longer in the store."


COUNTS = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1, max_size=60)


@given(COUNTS, st.sampled_from([1.0, 60.0, 86_400.0]))
def test_all_of_it_lies_in_the_picture(counts: list[tuple[int, int]], step_s: float) -> None:
    drawn = bars_of(about([own for own, _ in counts], [others for _, others in counts], step_s))
    assert [(row.own, row.others) for row in drawn.table] == [pair for pair in counts if any(pair)]
    assert len(drawn.bars) == len(drawn.table)
    for bar in drawn.bars:
        assert drawn.left <= bar.x and bar.x + bar.width <= drawn.width + 1
        assert 0 < bar.own + bar.others <= drawn.high + 2.1
    assert drawn.left <= drawn.begin < drawn.end <= drawn.width
    for x, _ in drawn.ticks:
        assert drawn.left <= x <= drawn.width
    if drawn.bars:
        assert max(bar.own + bar.others for bar in drawn.bars) == pytest.approx(drawn.high, abs=2.1)
