"""Whether k-means puts attacks above users of a real log, of which it has learned only the first half.

Real attacks are known by what the site has: no scripts of a server and no way to log in, so that a request for one that
was refused is no user's. Scanners' requests of nine families are mixed in as their programs send them. The features
know words, such as the names of panels; the same is asked of features without any word.
"""

import gzip
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.detectors import detector_row, make_detector
from hdfs_pipeline.domains.weblogs.batch import with_clients
from hdfs_pipeline.domains.weblogs.clients import Clients
from hdfs_pipeline.domains.weblogs.columns import SIGNS
from hdfs_pipeline.domains.weblogs.features import matrices
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.scoring.knowledge import failed
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.domains.weblogs.scanned import AGENTS, FAMILIES
from hdfs_pipeline_tests.domains.weblogs.written import combined, rows_of

ATTACK = re.compile(
    r"\.php|\.aspx?|\.cgi|wp-|wordpress|admin|fckeditor|/user/register|/node/add|Result:", re.IGNORECASE
)
WORDS = SIGNS | {"SCRIPT"}
SETTINGS = load_settings(Path("nowhere"))
DRAWS = 300


@dataclass(frozen=True)
class Log:
    """Requests (n) in the order of time, who attacks (n,) and by which family ('' of a user, 'real' in the log)."""

    rows: pa.Table
    family: np.ndarray

    @property
    def learned(self) -> np.ndarray:
        """Users' requests (n,) bool of the first half."""
        return (np.arange(len(self.family)) < len(self.family) // 2) & (self.family == "")

    @property
    def broken(self) -> np.ndarray:
        """Which requests (n,) bool break a rule that is a failure."""
        return failed(matrices(self.rows, SETTINGS)["rules"].values)

    @property
    def later(self) -> np.ndarray:
        return np.arange(len(self.family)) >= len(self.family) // 2


@pytest.fixture(scope="module")
def log(shared: Path) -> Log:
    """The real lines, and in their second half a scan by each family."""
    packed = shared / "weblogs" / "elastic_apache_logs.log.gz"
    if not packed.is_file():
        pytest.skip(f"no real access log at {packed}")
    lines = gzip.decompress(packed.read_bytes()).decode(errors="replace").splitlines()
    requests = [combined(line) for line in lines]
    real = [bool(ATTACK.search(each["path"])) and each["status"] in (403, 404) for each in requests]
    parts = [("real" if attack else "", each) for attack, each in zip(real, requests, strict=True)]
    last = max(each["time"] for each in requests)
    for number, (name, targets) in enumerate(FAMILIES.items()):
        begin = last - timedelta(hours=20 - 2 * number)
        parts += [(name, scan(target, number, begin + timedelta(seconds=4 * at))) for at, target in enumerate(targets)]
    parts.sort(key=lambda pair: pair[1]["time"])
    rows = rows_of(each | {"service": ""} for _, each in parts)
    return Log(with_clients(rows, Clients().count(rows)), np.array([name for name, _ in parts]))


def scan(target: str, number: int, time: Any) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "time": time, "client": f"203.0.113.{number}", "path": path, "query": query, "status": 404, "bytes": 300,
        "protocol": "HTTP/1.1", "agent": AGENTS[number % len(AGENTS)],
    }  # fmt: skip


def scores(log: Log, without: Collection[str] = ()) -> tuple[np.ndarray, float]:
    """Scores (n,) by k-means that learned the users of the first half, and its threshold."""
    matrix = matrices(log.rows, SETTINGS)["requests"]
    values = matrix.values
    values[:, [matrix.columns.index(name) for name in without]] = 0
    distinct = distinct_rows(values[log.learned])
    rows = values[log.learned][distinct.first]
    detector = make_detector("request_kmeans", SETTINGS).fit(rows, None, distinct.weights.astype(np.float64))
    rule = detector_row("request_kmeans").threshold(SETTINGS)
    threshold, _ = rule.fit(detector.score(rows), None, distinct.weights.astype(np.float64))
    return detector.score(values), threshold


def above(attacks: np.ndarray, users: np.ndarray) -> float:
    """Area under the ROC curve: the share of pairs in which the attack is above the user."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(attacks, users).statistic / len(attacks) / len(users))


def interval(attacks: np.ndarray, clients: np.ndarray, users: np.ndarray) -> tuple[float, float]:
    """95 % of the areas when the attacks' clients (k,), and users, are drawn anew with replacement."""
    draw = np.random.default_rng(1)
    known = np.unique(clients)
    areas = []
    for _ in range(DRAWS):
        own = np.concatenate([attacks[clients == each] for each in draw.choice(known, len(known))])
        areas.append(above(own, draw.choice(users, len(users))))
    low, high = np.quantile(areas, (0.025, 0.975))
    return float(low), float(high)


@pytest.mark.parametrize(
    "without", [(), WORDS, WORDS | {"CLIENT_ERROR", "MISSES"}], ids=["all", "no words", "no answers"]
)
def test_real_attacks_stand_above_users(log: Log, without: Collection[str]) -> None:
    found, threshold = scores(log, without)
    users, attacks = log.later & (log.family == ""), log.later & (log.family == "real")
    refused = users & (log.rows["status"].to_numpy() // 100 == 4)
    area = above(found[attacks], found[users])
    low, high = interval(found[attacks], log.rows["client"].to_numpy(zero_copy_only=False)[attacks], found[users])
    print(
        f"\n{attacks.sum()} real attacks, {users.sum():,} users' requests, without {len(without)} columns: "
        f"AUC {area:.4f} ({low:.3f} to {high:.3f}), {above(found[attacks], found[refused]):.3f} above the "
        f"{refused.sum()} users' requests that were refused; flagged: {(found[attacks] >= threshold).mean():.2f} of "
        f"the attacks, {(found[users] >= threshold).mean():.4f} of users' requests; by rules "
        f"{log.broken[attacks].mean():.2f} and {log.broken[users].mean():.4f}"
    )
    assert attacks.sum() > 30
    assert area >= (0.95 if len(without) <= len(WORDS) else 0.85)


@pytest.mark.parametrize("without", [(), WORDS], ids=["all", "no words"])
def test_scanners_of_every_family_stand_above_users(log: Log, without: Collection[str]) -> None:
    found, threshold = scores(log, without)
    users = found[log.later & (log.family == "")]
    areas = {name: above(found[log.family == name], users) for name in FAMILIES}
    flagged = {name: float((found[log.family == name] >= threshold).mean()) for name in FAMILIES}
    print(*(f"\n{name}: AUC {area:.3f}, flagged {flagged[name]:.2f}" for name, area in areas.items()), sep="")
    assert min(areas.values()) >= (0.85 if without else 0.9)
