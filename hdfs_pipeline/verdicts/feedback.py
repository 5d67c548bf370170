"""Feedback as people give it: a verdict beside what the model said then, all verdicts beside what it says now."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hdfs_pipeline.detectors import families
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.blocks.feedback import keep_verdict, verdicts, withdraw_verdict
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.feedback import VERDICTS, agreement
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.verdicts.score import load_scorer, parse_block_id, score_block, serving_detector

_FAR = 3  # edits beyond which another id is no slip of the hand
_STREAMED = """SELECT detector, version, score, status <> 'withdrawn' AS was_anomaly FROM stream_anomalies
    WHERE block_id = ? ORDER BY scored_at DESC LIMIT 1"""


def give_verdict(
    store: Store, settings: Settings, text: str, verdict: str, *, note: str = "", by: str = ""
) -> dict[str, Any]:
    """Keep what a person says of a block, over what was said before, with what the serving model says; the new row.

    Raises: DataError for an unknown verdict, or a block that the home does not know (with the nearest that it does).
    """
    if verdict not in VERDICTS:
        raise DataError(f"no verdict {verdict!r}; there are {', '.join(VERDICTS)}")
    block_id = parse_block_id(text)
    with store.read() as con:
        read = con.execute("SELECT count(*) FROM event_matrix WHERE block_id = ?", [block_id]).fetchall()[0][0]
        streamed = con.execute(_STREAMED, [block_id]).fetchall()
        if not read and not streamed:
            raise DataError(_unknown(con, block_id))
    names = ("detector", "version", "score", "was_anomaly")
    said = _said_now(store, settings, block_id) if read else streamed[0]
    row = {"block_id": block_id, "verdict": verdict, "note": note, "given_by": by, "given_at": datetime.now(UTC)}
    row |= dict(zip(names, said, strict=True))
    keep_verdict(store, row)
    return row


def _unknown(con: Connection, block_id: int) -> str:
    near = con.execute(
        """SELECT block_id FROM event_matrix WHERE levenshtein(block_id::VARCHAR, $block) <= $far
        ORDER BY levenshtein(block_id::VARCHAR, $block), block_id LIMIT 1""",
        {"block": str(block_id), "far": _FAR},
    ).fetchall()
    advice = f"did you mean blk_{near[0][0]}?" if near else "`hdfs-pipeline ingest PATH` reads more"
    return f"no log of this home names blk_{block_id}; {advice}"


def _said_now(store: Store, settings: Settings, block_id: int) -> tuple[Any, ...]:
    """Detector, version, score of the serving model, and whether it is anomalous; None each without a model."""
    name = serving_detector(settings)
    if name not in trained_detectors(settings):
        return None, None, None, None
    scorer = load_scorer(settings, name)
    _, score = score_block(store, settings, scorer, block_id)
    return name, scorer.card.version, score, score >= scorer.card.threshold


def take_back(store: Store, text: str) -> int:
    """Withdraw what was said of a block; its id. Raises: DataError where nothing was said of it."""
    block_id = parse_block_id(text)
    withdraw_verdict(store, block_id)
    return block_id


def all_verdicts(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """Every verdict, the oldest first, each with `now`: what the serving model says of the block.

    `now` has detector, version, score, flagged, agrees (None for an expected block) and why it does not; it is None
    where there is no model, or where the block came over the stream and is not read yet.
    """
    with store.read() as con:
        given = verdicts(con)
    name = serving_detector(settings)
    now: dict[int, dict[str, Any]] = {}
    if given and name in trained_detectors(settings):
        try:
            scorer = load_scorer(settings, name)
            feedback = load_dataset(store, settings, families([name])).feedback
            found = agreement(scorer, feedback) if feedback is not None else []
        except (DataError, NotTrainedError):  # a model of other columns, or damaged: the verdicts are still there
            found = []
        about = {"detector": name, "version": scorer.card.version} if found else {}
        now = {each.block_id: about | asdict(each) for each in found}
    for each in now.values():
        del each["block_id"], each["verdict"]
    return [row | {"block_id": f"blk_{row['block_id']}", "now": now.get(row["block_id"])} for row in given]
