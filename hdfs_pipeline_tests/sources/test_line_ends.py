"""Line ends of old systems, wherever chunks meet."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.sources.line_ends import with_line_feeds

TEXTS = st.text(alphabet="a\r\n", max_size=30).map(str.encode)


@settings(derandomize=True, deadline=None)
@given(chunks=st.lists(TEXTS, max_size=6))
def test_a_carriage_return_alone_becomes_a_line_feed_wherever_chunks_meet(chunks: list[bytes]) -> None:
    assert b"".join(with_line_feeds(chunks)) == re.sub(rb"\r(?!\n)", b"\n", b"".join(chunks))


def test_chunks_without_one_are_not_copied() -> None:
    for chunk in (b"one\ntwo\n", b"one\r\ntwo\r\n"):
        assert next(with_line_feeds([chunk])) is chunk
