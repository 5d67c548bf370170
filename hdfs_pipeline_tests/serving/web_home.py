"""A home with simulated requests and messages that were read, counted and judged as they are in real life."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.following import read_for_all
from hdfs_pipeline.domains.weblogs.simulate import access_lines
from hdfs_pipeline.domains.weblogs.simulate import simulate as simulate_requests
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.domains.applogs.filling import simulated_lines
from hdfs_pipeline_tests.homes import Home, open_home

BEGIN = datetime(2026, 11, 20, 8, tzinfo=UTC)
HOURS = 3
SHOP = "shop.example"


def requests(hours: float = HOURS, begin: datetime = BEGIN, *anomalies: str) -> list[bytes]:
    """Access lines of simulated services, from `begin` on, with faults of the kinds `anomalies`."""
    found = simulate_requests(
        begin=begin, duration_s=3600 * hours, rate=1.5, anomalies=anomalies, seed=4, per_day=12.0, quiet=0.5
    )
    return [*access_lines(found.table)]


def read_and_judge(home: Home, domain: str, lines: Iterable[bytes], path: Path) -> None:
    """Read lines of a domain from a new file, and judge the items of the domain and of those that follow it."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    read_for_all(home.store, home.settings, domain_named(domain), [str(path)], propose=False)
    for name in (domain, "traffic") if domain == "weblogs" else (domain,):
        kind = domain_named(name)
        scores = score_items(home.store, home.settings, kind, kind.day_one)
        with home.store.write() as con:
            publish_into(con, "scores", scores, replace="domain = 'nothing'")
        publish_anomalies(home.store, home.settings, kind, kind.day_one)
        publish_incidents(home.store, home.settings, kind)


def web_home(folder: Path, **settings: object) -> Home:
    """Three hours of requests with a scan, a burst of errors and slow answers, and eight hours of messages."""
    home = open_home(folder / "home", **settings)
    read_and_judge(home, "weblogs", requests(HOURS, BEGIN, "scan", "error-burst", "latency"), folder / "web.log")
    read_and_judge(home, "applogs", simulated_lines(seed=5, hours=8.0, rate=0.13), folder / "app.log")
    return home
