"""The asset `feedback`: people's words on the items of every domain."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.metadata import OWNERS, markdown, table_metadata
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.scoring.labels import STRETCHES, WORDS
from hdfs_pipeline.verdicts.feedback import all_feedback, given_together

_LATEST: Final = 20
_COLUMNS: Final = ["domain", "item", "word", "by", "note", "given at", "flagged now", "agrees", "why not"]


@dg.asset(
    group_name="learning",
    kinds={"duckdb", "python"},
    owners=OWNERS,
    tags={"stage": "feedback"},
    metadata=table_metadata("feedback"),
    code_version=version_of("verdicts.feedback"),
)
def feedback(home: Home) -> dg.MaterializeResult:
    """People's words on items, beside what the serving models say now. Trainings take them into account.

    `hdfs-pipeline feedback ITEM --verdict real|false|expected` gives a word on an item, `--group KIND` on all
    items of a kind.
    """
    if not home.store.path.exists():
        with home.store.write():  # makes the store if this is the first asset of a new home
            pass
    words = [
        {"domain": domain.name, **word}
        for domain in all_domains()
        for word in all_feedback(home.store, home.settings, domain)
    ]
    words.sort(key=lambda word: word["given_at"])
    agrees = [word["now"]["agrees"] for word in words if word["now"] and word["now"]["agrees"] is not None]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(words),
            **{kind: sum(word["verdict"] == kind for word in words) for kind in dict.fromkeys((*WORDS, *STRETCHES))},
            "serving model agrees": f"{sum(agrees):,} of {len(agrees):,}",
            "latest": markdown(_COLUMNS, [_row(given) for given in given_together(words)[: -_LATEST - 1 : -1]]),
        }
    )


def _row(given: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """A word on an item or a stretch of time; of one on a group the numbers of its items."""
    word = given[0]
    now = word["now"] or {}
    subject = word["item"] or f"{word['entity']} {word['from_at']} – {word['to_at']}"
    says: tuple[Any, ...] = (now.get("flagged"), now.get("agrees"), now.get("why"))
    if word["kind"]:
        subject = f"{word['kind']}: {len(given):,} items"
        nows = [each["now"] for each in given if each["now"]]
        says = (
            tuple(sum(each[name] is True for each in nows) for name in ("flagged", "agrees")) if nows else (None, None)
        )
        says = (*says, None)
    given_at = word["given_at"].isoformat(" ", "minutes")
    return (word["domain"], subject, word["verdict"], word["given_by"], word["note"], given_at, *says)
