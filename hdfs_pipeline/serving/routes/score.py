"""Verdicts on what a request brings: raw lines or counts of events, as JSON or, for many, as Arrow. Nothing is kept."""

from itertools import chain
from typing import Annotated, Any, Final

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response

from hdfs_pipeline.domains.contract import Judge, Judgement, Opinion
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.serving.columns import MEDIA_TYPE, read_counts, write_verdicts
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.shapes.score import CountVector, ToScore, Verdicts

router = APIRouter(prefix="/api/score", tags=["score"])

_TABLE: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_ARROW: Final[dict[str, Any]] = {"requestBody": {"required": True, "content": {MEDIA_TYPE: _TABLE}}}


@router.post("", response_model=Verdicts, dependencies=[needs("read")])
async def score(home: TheHome, asked: ToScore) -> Response:
    """Judge the items of raw lines, of count vectors, or of a matrix of counts, as a stream worker would.

    Name exactly one of `lines`, `vectors`, and `rows` with `columns`.
    """
    if sum(part is not None for part in (asked.lines, asked.vectors, asked.rows)) != 1:
        raise UsageError("name lines, or vectors, or rows with their columns")
    if (asked.rows is None) != (asked.columns is None) or (asked.ids is not None and asked.rows is None):
        raise UsageError("rows need their columns; columns and ids belong to rows")
    return Response(await home.turns.run(lambda: _judged(home, asked)), media_type="application/json")


@router.post(
    "/arrow",
    dependencies=[needs("read")],
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: _TABLE}}},
    openapi_extra=_ARROW,
)
async def score_arrow(
    request: Request,
    home: TheHome,
    domain: Annotated[str, Query(description="By default the first of the domains that the API lists.")] = "",
    catalogue: Annotated[str, Query(description="What the columns are events of; by default the model's.")] = "",
) -> Response:
    """Judge a table of counts, an Arrow IPC stream, whose columns are events and, where wanted, `id` and `alarms`.

    The answer is a table of as many rows: `id`, and of each detector `NAME.score`, `NAME.kind` and `NAME.reason`, the
    last two null where it calls an item normal. The schema's metadata `verdicts` holds domain, source, versions and
    thresholds as JSON.
    """
    body = await request.body()

    def work() -> bytes:
        ids, columns, counts = read_counts(body)
        name, judge = home.judges.of(domain)
        return write_verdicts(name, ids, judge.counts((), columns, counts, catalogue))

    return Response(await home.turns.run(work), media_type=MEDIA_TYPE)


def _judged(home: Home, asked: ToScore) -> bytes:
    name, judge = home.judges.of(asked.domain)
    if asked.lines is not None:
        if asked.catalogue:
            raise UsageError("lines are counted by the home's own catalogue: leave `catalogue` out")
        found = judge.lines([line.encode("utf-8", "replace") for line in asked.lines])
    elif asked.vectors is not None:
        found = _of_vectors(judge, asked.vectors, asked.catalogue)
    else:
        found = _of_rows(judge, asked)
    return orjson.dumps(_json(name, found), option=orjson.OPT_SERIALIZE_NUMPY)


def _of_vectors(judge: Judge, vectors: list[CountVector], catalogue: str) -> Judgement:
    columns = list(dict.fromkeys(chain.from_iterable(vector.counts for vector in vectors)))
    at = {name: index for index, name in enumerate(columns)}
    counts = np.zeros((len(vectors), len(columns)), np.int64)
    for row, vector in zip(counts, vectors, strict=True):
        row[[at[name] for name in vector.counts]] = list(vector.counts.values())
    return judge.counts([vector.id for vector in vectors], columns, counts, catalogue)


def _of_rows(judge: Judge, asked: ToScore) -> Judgement:
    rows, columns = asked.rows or [], asked.columns or []
    ids = [str(row) for row in range(len(rows))] if asked.ids is None else asked.ids
    if len(ids) != len(rows):
        raise DataError(f"{len(ids):,} ids for {len(rows):,} rows")
    if any(len(row) != len(columns) for row in rows):
        raise DataError(f"each row needs {len(columns):,} numbers, one for each column")
    try:
        counts = np.array(rows, np.int64).reshape(len(rows), len(columns))
    except OverflowError:
        raise DataError("counts are whole numbers from 0 to 2,147,483,647") from None
    return judge.counts(ids, columns, counts, asked.catalogue)


def _json(domain: str, found: Judgement) -> dict[str, Any]:
    return {
        "domain": domain,
        "source": found.source,
        "items": found.items,
        "voices": [_voice(found, opinion) for opinion in found.opinions],
        "unread": [{"line": line, "reason": reason} for line, reason in found.unread.items()],
    }


def _voice(found: Judgement, said: Opinion) -> dict[str, Any]:
    anomalies = [
        {"item": found.items[row], "score": said.scores[row], "kind": told.kind, "reason": told.reason}
        for row, told in said.told.items()
    ]
    voice = {"detector": said.detector, "version": said.version, "threshold": said.threshold}
    return voice | {"scores": said.scores, "anomalies": anomalies}
