"""DOMAINS: one row per kind of data that is watched, its class imported when it is asked for.

A domain is a folder here, a row in `DOMAINS` and a folder under `defs/`; what it has to say is in `contract.Domain`.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from hdfs_pipeline.errors import UsageError, unknown

if TYPE_CHECKING:
    from hdfs_pipeline.domains.contract import Domain


@dataclass(frozen=True)
class Row:
    """Where a domain lives (module below this package, class) and what a person should know of it."""

    path: str
    about: str

    def load(self) -> "Domain":
        """The domain."""
        module, name = self.path.split(":")
        domain: Domain = getattr(import_module(f"{__name__}.{module}"), name)()
        return domain


DOMAINS: dict[str, Row] = {
    "blocks": Row("blocks.domain:Blocks", "the life of each HDFS block, from the logs of NameNode and DataNodes"),
    "daemons": Row("daemons.domain:Daemons", "each minute of each daemon, from the records that name no block"),
    "namenode": Row("namenode.domain:NameNode", "how NameNodes are, from the metrics that their /jmx tells"),
    "weblogs": Row("weblogs.domain:Weblogs", "each request to a web server, from access logs"),
    "traffic": Row("traffic.domain:Traffic", "each minute of each web service, from its access logs"),
    "applogs": Row("applogs.domain:AppLogs", "each message that applications and services write"),
}


def domain_named(name: str | None = None) -> "Domain":
    """The domain of a name; without one the first. Raises: UsageError that suggests the near name."""
    if name is None:
        name = next(iter(DOMAINS))
    if name in DOMAINS:
        return DOMAINS[name].load()
    raise UsageError(unknown("domain", name, DOMAINS))


def option_of(name: str) -> str:
    """What names a domain on the command line, with a space before it; '' for the one that needs no naming."""
    return "" if name == next(iter(DOMAINS)) else f" --domain {name}"


def all_domains() -> "list[Domain]":
    """Every domain, in the order of `DOMAINS`."""
    return [row.load() for row in DOMAINS.values()]
