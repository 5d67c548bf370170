"""The detectors that judge blocks in a worker: asked for verdicts, which they may withdraw later."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.features import features
from hdfs_pipeline.domains.blocks.item import parse_block_id, show_block_id
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.domains.panel import Panel
from hdfs_pipeline.domains.voice import Place, Told, Voice
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import Verdict

_REMEMBERED: Final = 100_000  # verdicts that may still be withdrawn

FINAL, PROVISIONAL, WITHDRAWN = "final", "provisional", "withdrawn"


@dataclass(frozen=True)
class Counted:
    """Blocks to judge: their vectors, and the same counts as a matrix (n, d) in the catalogue's columns."""

    vectors: list[Vector]
    counts: np.ndarray


class Champion(Panel):
    """The detectors that judge blocks: see `Panel`.

    Workers count the events of a block and forget their order: a detector that reads it cannot serve here.
    """

    def __init__(
        self, settings: Settings, domain: Domain, detector: str | None = None, threshold: float | None = None
    ) -> None:
        self._flagged: dict[tuple[int, str], tuple[str, int, int]] = {}  # by block and detector, the oldest first
        self._known: dict[str, Knowledge] = {}  # by the fingerprint of the catalogue that it is of
        self.catalogue: Catalogue | None = None  # the source of the serving model's columns; None where it has none
        super().__init__(settings, domain, detector, threshold)

    def _require(self, scorer: Scorer) -> None:
        known, card = catalogues(self._settings.catalogues), scorer.card
        if card.family not in self._domain.unbound and card.source not in known:
            raise SetupError(f"the model was trained on the catalogue {card.source}, which is not in this home")
        if card.source in known:  # a file of rules that cannot be used is told at the start
            knowledge_of(known[card.source], self._settings)

    def _use(self, voices: list[Voice]) -> None:
        super()._use(voices)
        self.catalogue = catalogues(self._settings.catalogues).get(self.scorer.card.source)
        self._flagged = {(block, self._heir(name)): place for (block, name), place in self._flagged.items()}

    def _heir(self, name: str) -> str:
        """Who may withdraw a detector's verdicts: itself or, where it judges no more, the one that serves."""
        return name if any(voice.detector == name for voice in self.voices) else self.voices[0].detector

    def weigh_counts(
        self, keys: np.ndarray, counts: np.ndarray, alarms: np.ndarray, catalogue: Catalogue
    ) -> list[tuple[Voice, np.ndarray, dict[int, Told]]]:
        """See `Panel.weigh`: of blocks, `keys` (n,), by `counts` (n, d) of the catalogue's columns and `alarms` (n,).

        Raises: DataError for a catalogue other than the model's.
        """
        knowledge = self._knowledge(catalogue)
        return self.weigh(features(keys, counts, alarms, catalogue, knowledge), knowledge)

    def judge(self, counted: Counted, catalogue: Catalogue, origin: str, status: str = FINAL) -> list[Verdict]:
        """Verdicts on the anomalous blocks, and withdrawals for blocks that were called anomalous and no longer are.

        Each detector gives its own, the serving one first.
        """
        vectors = counted.vectors
        if not vectors:
            return []
        keys = np.array([vector.block_id for vector in vectors], np.int64)
        alarms = np.array([vector.alarms for vector in vectors])
        verdicts = []
        for voice, scores, explained in self.weigh_counts(keys, counted.counts, alarms, catalogue):
            detector, flagged = voice.detector, self._flagged
            # In this order, since a start reads back several vectors of one block.
            for at, (vector, score) in enumerate(zip(vectors, scores.tolist(), strict=True)):
                key = (vector.block_id, detector)
                if at in explained:
                    verdicts.append(voice.verdict(_told(vector, origin), status, score, explained[at]))
                    self._keep(key, _place(vector, origin))
                elif key in flagged and status == FINAL and flagged[key] == _place(vector, origin):
                    verdicts.append(voice.verdict(_told(vector, origin), WITHDRAWN, score, None))
                    del flagged[key]
        return verdicts

    def remember(self, verdict: Verdict) -> None:
        """Remember a verdict, so that it can be withdrawn."""
        key = parse_block_id(verdict.item), self._heir(verdict.detector)
        if verdict.status == WITHDRAWN:
            self._flagged.pop(key, None)
            return
        self._keep(key, _place(verdict, verdict.origin))

    def _keep(self, key: tuple[int, str], place: tuple[str, int, int]) -> None:
        self._flagged[key] = place
        if len(self._flagged) > _REMEMBERED:
            del self._flagged[next(iter(self._flagged))]

    def _knowledge(self, catalogue: Catalogue) -> Knowledge:
        if catalogue.fingerprint not in self._known:
            self._known[catalogue.fingerprint] = knowledge_of(catalogue, self._settings)
        return self._known[catalogue.fingerprint]


def _place(named: Vector | Verdict, origin: str) -> tuple[str, int, int]:
    """What distinguishes two vectors of one block."""
    return origin, named.partition, named.first_offset


def _told(vector: Vector, origin: str) -> Place:
    """What a verdict says of a block beside the judgement."""
    item = show_block_id(vector.block_id)
    return Place(
        item=item,
        origin=origin,
        partition=vector.partition,
        first_offset=vector.first_offset,
        last_offset=vector.last_offset,
        lines=vector.lines,
        first_time=vector.first_time,
        last_time=vector.last_time,
        entity=vector.host,
        closed_by=vector.closed_by,
        more={"block_id": item, "catalogue": vector.catalogue},
    )
