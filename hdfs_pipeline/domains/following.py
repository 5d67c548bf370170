"""Reading files for a domain and for all domains whose items are made of its records."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.domains.contract import Domain, Read
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store


def followers(domain: Domain) -> list[Domain]:
    """The domains whose items are made of the records that `domain` reads."""
    return [other for other in all_domains() if other.follows == domain.name]


def leader_of(domain: Domain) -> Domain:
    """The domain that reads the records of which a domain's items are made: itself, unless it follows another."""
    return domain_named(domain.follows) if domain.follows else domain


def read_for_all(
    store: Store,
    settings: Settings,
    domain: Domain,
    paths: Sequence[str],
    labels: Path | pa.Table | None = None,
    on_step: Callable[[str, int | None, int | None], None] = lambda *_: None,
    *,
    propose: bool = True,
) -> Read:
    """As `Domain.read`, of the domain that `domain` follows if it follows one; then bring all followers up to date."""
    leader = leader_of(domain)
    read = leader.read(store, settings, paths, labels, on_step, propose=propose)
    for follower in followers(leader):
        on_step(f"counting {follower.item.plural}", None, None)
        follower.derive(store, settings)
    return read
