"""The judges of a home: one for each domain that judges what is not the home's."""

import pytest

from hdfs_pipeline.domains import DOMAINS
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.verdicts.outside import Judges
from hdfs_pipeline_tests.homes import Home


def test_a_judge_stays_loaded(home: Home) -> None:
    judges = Judges(home.store, home.settings)
    name, judge = judges.of("")
    assert judges.of(name) == (name, judge) and name == next(iter(DOMAINS))


@pytest.mark.parametrize("name", ["daemons", "namenode"])
def test_a_domain_that_judges_only_what_the_home_holds_says_so(name: str, home: Home) -> None:
    with pytest.raises(DataError, match=f"{name} judges only what the home holds"):
        Judges(home.store, home.settings).of(name)


def test_an_unknown_domain_is_told(home: Home) -> None:
    with pytest.raises(UsageError, match="no domain"):
        Judges(home.store, home.settings).of("none")
