"""The figures of a comparison: each detector's evaluation and cost, and those that could not be judged."""

from dataclasses import asdict, dataclass, field
from typing import Any

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.learning.training import Tested
from hdfs_pipeline.scoring.evaluation import Evaluation
from hdfs_pipeline.scoring.kinds import KindFit, Reach
from hdfs_pipeline.scoring.scorer import Card


@dataclass(frozen=True)
class Cost:
    """What a detector takes: seconds to fit (its threshold too), rows scored in a second, bytes of its saved files.

    The speed is of raw rows in batches of 2,000, repeated until 20,000 rows (`scored_rows`) or 10 s are reached.
    """

    train_s: float
    rows_per_s: float
    scored_rows: int
    model_bytes: int


@dataclass(frozen=True)
class Judged:
    """A detector that learned and was judged.

    `without` are its figures on the items whose kind the comparison does not leave out. `kinds` says whether the kinds
    of what it found fit the labels' kinds, where the domain knows these.
    """

    detector: str
    card: Card
    tested: Tested
    without: Evaluation | None
    cost: Cost
    kinds: KindFit | None = None

    @property
    def evaluation(self) -> Evaluation:
        """Its figures on the items to judge on."""
        return self.tested.evaluation

    @property
    def learns_from(self) -> str:
        """What it learns from: see `Detector.learns_from`."""
        return domain_named(self.card.domain).row(self.detector).cls.learns_from

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return domain_named(self.card.domain).row(self.detector).about

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "detector": self.detector,
            "status": "judged",
            "learns_from": self.learns_from,
            "rule": self.card.rule,
            "params": self.card.params,
            "evaluation": self.evaluation.to_json(),
            "without": self.without.to_json() if self.without else None,
            "cost": asdict(self.cost),
            "kinds": self.kinds.to_json() if self.kinds else None,
        }


@dataclass(frozen=True)
class LeftOut:
    """A detector that could not learn or be judged, and why."""

    detector: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"detector": self.detector, "status": "not judged", "reason": self.reason}


@dataclass(frozen=True)
class Comparison:
    """Every detector on one split of one data set. `entries` stand in the order of `DETECTORS`.

    `data` describes the items on both sides and where they come from; `plural` is what people call them. `conclusion`
    and `warnings` are sentences: what the figures come to, and what weakens that. `reach` is the most that the labels
    of the items to judge on allow.
    """

    split: str
    seed: int
    test_share: float
    without: tuple[str, ...]
    data: dict[str, Any]
    plural: str
    made_at: str
    libraries: dict[str, str]
    machine: dict[str, Any]
    entries: tuple[Judged | LeftOut, ...]
    reach: Reach
    conclusion: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ranked(self) -> list[Judged]:
        """The detectors that were judged, by F1, the best first; of equal ones what learns nothing, then by PR-AUC."""
        judged = [entry for entry in self.entries if isinstance(entry, Judged)]
        return sorted(
            judged,
            key=lambda entry: (
                -entry.evaluation.f1,
                entry.learns_from != "nothing",
                -(entry.evaluation.pr_auc or 0),
            ),
        )

    @property
    def left_out(self) -> list[LeftOut]:
        """The detectors that were not judged."""
        return [entry for entry in self.entries if isinstance(entry, LeftOut)]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("split", "seed", "test_share", "data", "made_at", "libraries", "machine")
        return {name: getattr(self, name) for name in names} | {
            "verdict": self.conclusion,
            "warnings": self.warnings,
            "without": list(self.without),
            "reach": self.reach.to_json(),
            "detectors": [entry.to_json() for entry in self.entries],
        }
