"""How much of what is injected into simulated days each domain's voices find, and what else they flag.

Nothing was chosen on the days of `SEEDS`: settings and limits were on those of other seeds.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

from hdfs_pipeline.bench.detected import Figure
from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.settings import Settings

SEEDS: Final = (21, 22, 23)


def _minutes(seeds: list[int], settings: Settings) -> Iterator[Figure]:
    from hdfs_pipeline.bench.detected_minutes import detected_minutes

    return detected_minutes(seeds, settings)


def _scans(seeds: list[int], settings: Settings) -> Iterator[Figure]:
    from hdfs_pipeline.bench.detected_scans import detected_scans

    return detected_scans(seeds, settings)


def _messages(seeds: list[int], settings: Settings) -> Iterator[Figure]:
    from hdfs_pipeline.bench.detected_messages import detected_messages

    return detected_messages(seeds, settings)


DOMAINS: Final[dict[str, Callable[[list[int], Settings], Iterator[Figure]]]] = {
    "weblogs": _scans,
    "traffic": _minutes,
    "applogs": _messages,
}
"""The domains whose figures are measured."""


def bench_detection(
    settings: Settings,
    domains: Collection[str] = (),
    seeds: Sequence[int] = SEEDS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the figures of some domains, or of all of `DOMAINS`, on simulated days of several seeds.

    Returns a JSON-able dict: `seeds`, `figures` (`detected.Figure.told` of each) and `machine`. Raises: UsageError for
    a domain that there is no such figure of, and without a seed.
    """
    if odd := set(domains) - {*DOMAINS}:
        raise UsageError(f"no figures of detection for {', '.join(sorted(odd))}: choose from {', '.join(DOMAINS)}")
    if not seeds:
        raise UsageError("no seed to simulate days by: name one or more, such as --seeds 21,22,23")
    figures = []
    for domain, measure in DOMAINS.items():
        if not domains or domain in domains:
            say(domain)
            figures += [figure.told() for figure in measure(list(seeds), settings)]
    return {"seeds": list(seeds), "figures": figures, "machine": machine()}
