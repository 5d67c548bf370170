"""The detectors of a domain and the versions of their models: what serves, what served, and where each came from."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains.champions import (
    BEST,
    load_scorer,
    named_champion,
    ready_detectors,
    serving_detector,
)
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.learning.judgement import policy_of
from hdfs_pipeline.learning.tracking import MLFLOW_UI, tracked_runs
from hdfs_pipeline.scoring.models import (
    cards,
    champion_version,
    previous_version,
    read_card,
    read_choice,
    served_versions,
)
from hdfs_pipeline.scoring.scorer import Card
from hdfs_pipeline.settings import Settings

SPLITS: Final = ("latest", "chronological", "random")
"""The splits that a version can be judged on, the one that tells most first."""
_SERVED: Final = 100  # entries of the record of what served, the latest


class Version(NamedTuple):
    """A version of a detector's model. Version 0 stands for a detector that needs no training."""

    card: Card
    serves: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.card.to_json() | {"serves": self.serves}


def serving_card(settings: Settings, domain: Domain, name: str) -> Card | None:
    """The card of a detector's champion, or of one that needs no training; None where there is neither."""
    with suppress(NotTrainedError):
        version = champion_version(settings, domain.name, name)
        if version is not None:
            return read_card(settings, domain.name, name, version)
        return load_scorer(settings, domain, name).card if name in domain.untrained else None
    return None


def versions_of(settings: Settings, domain: Domain, names: Sequence[str]) -> list[Version]:
    """All versions of the detectors' models that are whole, the oldest first; of those without one version 0."""
    found = []
    for name in names:
        serving = champion_version(settings, domain.name, name) or 0
        own = cards(settings, domain.name, name)
        if not own and name in domain.untrained:
            own = [load_scorer(settings, domain, name).card]
        found += [Version(card, card.version == serving) for card in own]
    return found


def detectors_of(settings: Settings, domain: Domain) -> list[dict[str, Any]]:
    """What there is to know of each detector of a domain, as plain values.

    `learns_from` is labels, normals, all, or nothing; `version` the one that serves (0 of an untrained one, None
    where it has no model), `threshold` its threshold, and `rule` how that is fixed. One `serves`: its verdicts lead.
    """
    serving, ready = serving_detector(settings, domain), ready_detectors(settings, domain)
    found = []
    for name in domain.detectors:
        row, card = domain.row(name), serving_card(settings, domain, name)
        found.append(
            {
                "detector": name,
                "about": row.about,
                "family": row.cls.features,
                "learns_from": row.cls.learns_from,
                "needs_labels": row.cls.learns_from == "labels",
                "needs_training": name not in domain.untrained,
                "standard": row.standard,
                "ready": name in ready,
                "serves": name == serving and name in ready,
                "version": card.version if card else None,
                "threshold": card.threshold if card else None,
                "rule": card.rule if card else str(domain.threshold(settings, name)),
                "trained_by": domain.trained_by.format(name),
            }
        )
    return found


def choice_of(settings: Settings, domain: Domain) -> dict[str, Any]:
    """Which detector serves and why: `serving`, `named` (the one that is to), `policy`, and the latest `choice`."""
    choice = read_choice(settings, domain.name) if domain.champion(settings) == BEST else None
    return {
        "serving": serving_detector(settings, domain),
        "named": named_champion(settings, domain),
        "policy": policy_of(settings, domain),
        "choice": choice,
    }


def history_of(settings: Settings, domain: Domain, name: str) -> list[dict[str, Any]]:
    """What has served of a detector's model, the latest first: version, at, back, by, note."""
    served = served_versions(settings, domain.name, name)[-_SERVED:]
    return [{"detector": name} | entry._asdict() for entry in reversed(served)]


def earlier_version(settings: Settings, domain: Domain, name: str) -> int | None:
    """The version that a roll back would let serve; None where there is none."""
    with suppress(DataError, NotTrainedError):
        return previous_version(settings, domain.name, name)
    return None


def runs_of(settings: Settings, domain: Domain, name: str) -> dict[int, dict[str, str]]:
    """Where each version was trained, by its number: the ids and addresses of its runs, '' where they are not known."""
    return {
        version: {
            "mlflow": run.mlflow,
            "mlflow_url": f"{MLFLOW_UI}/#/runs/{run.mlflow}",
            "dagster": run.dagster,
            "dagster_url": f"{settings.dagster_address}/runs/{run.dagster}" if run.dagster else "",
        }
        for version, run in tracked_runs(settings, domain.name, name).items()
    }


def judged_on(card: Card) -> tuple[str, dict[str, Any]] | None:
    """The split that tells most of a version, and its figures there; None where it was judged on none."""
    return next(((split, card.metrics[split]) for split in SPLITS if split in card.metrics), None)
