"""A home's counts, verdicts and incidents, made anew from its raw records."""

from collections.abc import Callable
from contextlib import suppress

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.champions import ready_detectors, serving_detector
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.files import publish_verdicts


def rebuild(store: Store, settings: Settings, on_step: Callable[[str], None] = lambda _: None) -> dict[str, int]:
    """Count all records anew, and judge all items, of every domain.

    What is kept up to date as records come is the same: this is for homes that somebody has changed by hand, and to
    make sure. People's words, labels and models stay. Returns how many items were counted, by their plural.
    Raises: SetupError while another parse is under way.
    """
    items = {}
    for domain in all_domains():
        on_step(f"counting {domain.item.plural}")
        items[domain.item.plural] = domain.recount(store, settings)
    for domain in all_domains():
        if serving_detector(settings, domain) not in ready_detectors(settings, domain):
            continue
        on_step(f"judging {domain.item.plural}")
        with suppress(DataError, NotTrainedError):  # it has no items yet
            publish_verdicts(store, settings, domain, anew=True)
    return items
