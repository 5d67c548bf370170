"""The rules over the state of HDFS: that they can be used, that the docs list them, and what is wrong with others."""

from pathlib import Path

import pytest

from hdfs_pipeline.domains.namenode.datanodes import LATENCIES
from hdfs_pipeline.domains.namenode.state import PARTS, VALUES
from hdfs_pipeline.domains.namenode.state_rules import RULES_FILE, read_state_rules, rule_of, state_rules
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import PROJECT, Settings

RULE = """[[rule]]
kind = "k"
about = "hdfs"
severity = "major"
when = ["missing >= 1"]
sentence = "s"
hint = "h"
reason = "r"
"""


def test_the_docs_list_every_figure_rule_and_time() -> None:
    page = (PROJECT / "docs/hdfs-state.md").read_text()
    for value in VALUES:
        assert f"| `{value.name}` | {value.about} | {', '.join(value.places)} |" in page
    for name, places in PARTS.items():
        assert f"| `{name}` | – | {places} |" in page
    for rule in state_rules():
        assert f"| `{rule.kind}` | {rule.severity} |" in page
        assert all(f"`{condition}`" in page for condition in rule.when)
    for latency in LATENCIES:
        assert f"| `{latency.name}` | {latency.about} | {latency.attribute} |" in page


def test_every_limit_is_a_number_a_setting_or_a_figure() -> None:
    for rule in state_rules():
        for condition in rule.when:
            limit = condition.split()[-1]
            assert limit[0].isdigit() or limit in Settings.model_fields or limit.startswith("usual_"), condition


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('when = ["missing >= 1"]', 'when = ["missing"]'), "compares no figure"),
        (('severity = "major"', 'severity = "grave"'), "warning, major, critical"),
        (('about = "hdfs"', 'about = "blocks"'), "is none of namenode, hdfs"),
        (('hint = "h"', ""), "hint is no text"),
        (('hint = "h"', 'hint = "h"\nlimit = 3'), "not limit"),
        (('hint = "h"', 'hint = "h"\npolls = 0'), "from 1"),
        (("[[rule]]", "[[rules]]"), "can be read"),
        (("[[rule]]", "[[rule"), "can be read"),
        (('reason = "r"', 'reason = "r"\n' + RULE), "rule 2: the kind 'k' is taken"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named(change: tuple[str, str], says: str, tmp_path: Path) -> None:
    path = tmp_path / RULES_FILE.name
    path.write_text(RULE.replace(*change, 1))
    with pytest.raises(DataError, match=says):
        list(read_state_rules(path))


@pytest.mark.parametrize(
    ("kind", "figures", "ratio"),
    [
        ("missing blocks", {"missing": 3.0}, 3.0),
        ("missing blocks", {"missing": 0.0}, 0.0),
        ("missing blocks", {}, None),
        ("HDFS fills up", {"days_to_full": 3.5}, 2.0),
        ("HDFS fills up", {"days_to_full": float("inf")}, 0.0),
        ("HDFS fills up", {"days_to_full": 0.0}, 7.0),
        ("blocks with one replica", {"last_replica": 5.0, "usual_last_replica": 0.0}, 5.0),
        ("blocks with one replica", {"last_replica": 5.0}, None),
        ("old checkpoint", {"checkpoint_hours": 6.0, "checkpoint_transactions": 0.0}, 0.0),
    ],
)
def test_how_far_beyond_its_limit(kind: str, figures: dict[str, float], ratio: float | None) -> None:
    rule = rule_of(kind)
    assert rule is not None and rule.ratio(figures, Settings()) == ratio


@pytest.mark.parametrize(
    ("kind", "figures", "words"),
    [
        ("corrupt blocks", {"corrupt": 1.0}, "1 block with a corrupt replica"),
        ("corrupt blocks", {"corrupt": 1204.0}, "1,204 blocks with a corrupt replica"),
        (
            "full DataNode",
            {"name": "dn1", "full_percent": 97.25, "remaining": 3 * 2.0**30},
            "dn1 is 97.2 % full: 3.0 GiB free",
        ),
        ("stale DataNode", {"name": "dn1", "silent_s": 45.0}, "no heartbeat from dn1 for 45 s"),
        ("stale DataNode", {"name": "dn1", "silent_s": 660.0}, "no heartbeat from dn1 for 11 min"),
        (
            "stale DataNode",
            {"name": "dn1", "silent_s": 1.79e9},
            "no heartbeat from dn1 for as long as the NameNode knows it",
        ),
    ],
)
def test_sentences(kind: str, figures: dict[str, float | str], words: str) -> None:
    rule = rule_of(kind)
    assert rule is not None and rule.words(figures) == words
