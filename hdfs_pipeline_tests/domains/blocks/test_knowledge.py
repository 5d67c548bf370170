"""The shipped rules: they read the shipped catalogues, and judge the lives of real blocks."""

from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.catalogue import SHIPPED, STAGES, catalogues
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.scoring.catalogue import Catalogue, Template
from hdfs_pipeline.scoring.knowledge import Knowledge, failed, read_rules, worst
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.homes import BLOCKS, Home

LIVES = {
    "hdfs_v1.v1": {
        "": "E22 E5 E5 E5 E9 E9 E9 E11 E11 E11 E26 E26 E26",
        "allocated, never stored": "E22 E5",
        "write failed": "E22 E5 E7 E26 E26",
        "copy never arrived": "E22 E26 E26 E25 E18",
        "deleted before it was stored": "E22 E5 E28",
        "replica reported after the deletion": "E22 E5 E5 E26 E26 E23 E28",
        "deletion of a replica that was not there": "E22 E26 E26 E26 E23 E23 E23 E20 E21 E21",
        "replica lost before the deletion": "E22 E26 E26 E26 E25 E18 E16 E6 E26 E23 E23 E23 E23",
    },
    "hdfs_3.v1": {
        "": "E1 E2 E2 E2 E3 E3 E3 E5 E5 E6 E37 E37 E37",
        "write abandoned: pipeline not built": "E1 E2 E77 E63",
        "write failed: disk full": "E1 E2 E2 E2 E67 E73 E58 E58 E3 E3 E37 E37",
        "deleted before it was stored": "E1 E2 E2 E2 E3 E3 E3 E26 E26 E26",
        "lease recovered: the writer died": "E1 E2 E2 E2 E46 E47 E62 E73 E37",
        "write failed: data damaged on its way": "E1 E2 E2 E69 E75 E58 E58 E3 E3 E37 E37",
        "write slowed: a DataNode hung": "E1 E2 E2 E2 E64 E59 E3 E3 E37 E37",
        "replica damaged on disk": "E1 E3 E3 E3 E37 E37 E37 E40 E19 E37 E26",
        "read failed: no such replica": "E1 E3 E3 E3 E37 E37 E37 E78 E84 E89",
        "request to a DataNode failed": "E1 E3 E3 E3 E37 E37 E37 E89",
        "read after the deletion": "E1 E3 E3 E3 E37 E37 E37 E26 E26 E26 E78 E84 E89",
        "read refused: wrong length or version": "E1 E3 E3 E3 E37 E37 E37 E79 E83 E84 E89",
        "write went on without a DataNode": "E1 E2 E2 E3 E3 E60 E60 E37 E37",
        "replica missing on a DataNode": "E1 E3 E3 E3 E37 E37 E37 E17 E18 E19 E37",
    },
}
SHARED_CASES = [(label, kind, events) for label, lives in LIVES.items() for kind, events in lives.items()]


def shipped(label: str) -> tuple[Catalogue, Knowledge]:
    catalogue = catalogues()[label]
    return catalogue, knowledge_of(catalogue, load_settings())


@pytest.mark.parametrize(("label", "kind", "events"), SHARED_CASES)
def test_a_life_has_the_kind_that_an_engineer_would_name(label: str, kind: str, events: str) -> None:
    catalogue, knowledge = shipped(label)
    row = np.zeros((1, len(catalogue.columns)), np.float32)
    for event in events.split():
        row[0, catalogue.columns.index(event)] += 1
    grades = knowledge.grades(row)
    (first,) = worst(grades)
    assert (knowledge.rules[first].kind if failed(grades)[0] else "") == kind


@pytest.mark.parametrize("label", LIVES)
def test_each_failure_breaks_a_rule(label: str) -> None:
    """A message that the catalogue calls a failure never goes unheard."""
    catalogue, knowledge = shipped(label)
    rows = np.eye(len(catalogue.columns), dtype=np.float32)
    told = failed(knowledge.grades(rows))
    for column, heard in zip(catalogue.columns, told, strict=True):
        assert heard or catalogue.severity(column) != "failure", column


@pytest.mark.parametrize("label", LIVES)
@pytest.mark.parametrize("stage", STAGES)
def test_each_failure_that_a_cluster_learns_breaks_a_rule(label: str, stage: str) -> None:
    """Whatever its stage is."""
    catalogue = catalogues()[label]
    new = Template("E900", "new", "Something new of <*>", stage=stage, severity="failure")
    knowledge = knowledge_of(Catalogue(catalogue.name, 2, (*catalogue.templates, new)), load_settings())
    row = np.zeros((1, len(knowledge.columns)), np.float32)
    row[0, knowledge.columns.index("E900")] = 1
    assert failed(knowledge.grades(row))[0]


@pytest.mark.parametrize("label", LIVES)
def test_each_rule_says_what_to_do_and_why(label: str) -> None:
    for rule in read_rules(SHIPPED / f"{label.split('.', maxsplit=1)[0]}.rules.toml"):
        assert rule.sentence[0].islower() or rule.sentence.startswith(("DataNode", "NameNode"))
        assert rule.hint and rule.reason.endswith(".")
        assert "_" not in rule.kind


def test_the_rules_name_real_anomalies(trained: Home) -> None:
    """Blocks of the sample of 2008: every anomaly is found, and hardly any other block."""
    data = BLOCKS.features(trained.store, trained.settings)
    told = failed(data.matrix("rules").values)
    assert told[data.labels == ANOMALY].all()
    assert told[data.labels == NORMAL].mean() <= 0.003


def test_a_learned_version_keeps_the_rules_of_its_catalogue() -> None:
    """And judges the new templates by their proposed severity."""
    catalogue = catalogues()["hdfs_3.v1"]
    new = Template("E900", "a new failure", "Something failed for <*>", stage="receive", severity="failure")
    knowledge = knowledge_of(Catalogue("hdfs_3", 2, (*catalogue.templates, new)), load_settings())
    row = np.zeros((1, len(knowledge.columns)), np.float32)
    row[0, knowledge.columns.index("E900")] = 1
    assert knowledge.rules[worst(knowledge.grades(row))[0]].kind == "write failed"


def test_a_catalogue_without_rules_has_one() -> None:
    mine = Catalogue("mine", 1, (Template("E1", "bad", "It failed: <*>"), Template("E2", "good", "All is well <*>")))
    knowledge = knowledge_of(mine, load_settings())
    assert failed(knowledge.grades(np.eye(3, dtype=np.float32))).tolist() == [True, False, False]


def test_a_homes_own_rules_come_first(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    settings.catalogues.mkdir(parents=True)
    text = (SHIPPED / "hdfs_3.rules.toml").read_text()
    (settings.catalogues / "hdfs_3.rules.toml").write_text(text.replace("write failed: disk full", "no room"))
    knowledge = knowledge_of(catalogues()["hdfs_3.v1"], settings)
    assert knowledge.by_id["disk-full"].kind == "no room"


def test_rules_are_left_out_by_the_setting() -> None:
    settings = load_settings().model_copy(update={"rules_left_out": ("disk-full", "disputed")})
    kept = knowledge_of(catalogues()["hdfs_3.v1"], settings).by_id
    assert "disk-full" not in kept and "restored" not in kept and "client-died" in kept
