"""The names of a domain's assets, jobs and sensors, and the tags by which jobs select assets."""

from typing import Final

import dagster as dg

from hdfs_pipeline.domains import DOMAINS
from hdfs_pipeline.domains.contract import Domain

# What an asset does on its domain's way from bytes to incidents: the tag `stage`, by which jobs select.
READ: Final = "read"
PARSE: Final = "parse"
MINE: Final = "mine"
LEARN: Final = "learn"
CHOOSE: Final = "choose"
JUDGE: Final = "judge"

TAKES: Final = "takes"
"""The tag of an asset that reads what the run's config names: `logs` (by `paths`) or `labels` (by `path`)."""
LOGS: Final = "logs"
LABELS: Final = "labels"


def named(domain: Domain, part: str) -> str:
    """Name of an asset, job or schedule that every domain has.

    In the first domain this is the bare part (`scores`); in another domain it begins with the domain's name
    (`<domain>_scores`).
    """
    return part if domain.name == next(iter(DOMAINS)) else f"{domain.name}_{part}"


def tags(domain: str, stage: str) -> dict[str, str]:
    """Tags of an asset."""
    return {"domain": domain, "stage": stage}


def selected(domain: Domain, *stages: str) -> dg.AssetSelection:
    """The assets of some stages of a domain, with their checks."""
    of_stages = [dg.AssetSelection.tag("stage", stage) for stage in stages]
    return dg.AssetSelection.tag("domain", domain.name) & _any_of(of_stages)


def _any_of(selections: list[dg.AssetSelection]) -> dg.AssetSelection:
    first, *others = selections
    for other in others:
        first = first | other
    return first
