"""Windows are named after a NameNode and their last step."""

import pytest

from hdfs_pipeline.domains.namenode.item import WINDOW, namenode_and_time
from hdfs_pipeline.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        WINDOW.example,
        " nn1:9870 2026-11-21T18:00:00Z ",
        "nn1:9870 2026-11-21T19:00:00.000400+01:00",
    ],
)
def test_an_id_is_read_however_its_time_is_written(text: str) -> None:
    assert WINDOW.shown(text) == WINDOW.example


@pytest.mark.parametrize("text", ["", "nn1:9870", "2026-11-21T18:00:00Z", "nn1:9870 yesterday", "nn1:9870 2026-11-21"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="one looks like nn1:9870 2026"):
        WINDOW.parse(text)


def test_it_says_whose_window_it_is_and_when() -> None:
    assert namenode_and_time(WINDOW.example) == ("nn1:9870", 1795284000.0)
