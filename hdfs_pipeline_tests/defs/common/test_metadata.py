"""Markdown of metadata: text from logs and people stays text."""

import pytest

from hdfs_pipeline.defs.common.metadata import as_text, markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("[click](javascript:alert(1))", r"\[click\](javascript:alert(1))"),
        ("![](http://evil.example/a.png)", r"!\[\](http://evil.example/a.png)"),
        ("`code`, *strong* ~gone~", r"\`code\`, \*strong\* \~gone\~"),
        (r"\|", r"\\\|"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("two\nlines", "two lines"),
        ("\x1b[31m", r"␛\[31m"),
        ("random_forest of hdfs_3.v1", "random_forest of hdfs_3.v1"),
    ],
)
def test_text_is_no_markup(text: str, shown: str) -> None:
    assert as_text(text) == shown


def test_a_cell_is_one_cell() -> None:
    table = markdown(["a", "b"], [["x | y\n| z", 1_000]]).md_str
    assert table is not None
    assert table.splitlines() == ["| a | b |", "| :-- | --: |", r"| x \| y \| z | 1,000 |"]
