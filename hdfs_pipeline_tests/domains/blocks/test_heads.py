"""How time stamps are written back: as the known layouts and forms had them."""

import pytest

from hdfs_pipeline.domains.blocks.heads import LAYOUTS, STAMPS, Layout, formats
from hdfs_pipeline.domains.blocks.layouts import known_layouts


def test_a_level_before_the_time_stamp_is_kept_in_the_text() -> None:
    assert formats()["level_first"] == "{level} %Y-%m-%d %H:%M:%S,%g"
    assert formats()["level_first_bracketed"] == "[{level}] [%Y-%m-%d %H:%M:%S,%g"


def test_every_name_that_the_scan_gives_has_a_format() -> None:
    assert set(known_layouts().names) == formats().keys()
    assert len(formats()) == len(LAYOUTS) * len(STAMPS)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_prefix_is_what_the_example_begins_with(layout: Layout) -> None:
    prefix = layout.prefix.replace("{level}", "INFO")
    assert "%" not in prefix
    assert " ".join(layout.example.split()).startswith(" ".join(prefix.split()))
