"""Access lines become records: golden lines, properties, and an oracle."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.domains.weblogs.formats import KNOWN, layouts_of
from hdfs_pipeline.domains.weblogs.records import RECORDS, AccessFormat, read_messages, split_records
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PROJECT, load_settings
from hdfs_pipeline_tests.domains.weblogs.lines import BOTH, COMBINED, FAULTS, HEAD, LINES, PATTERNS

AUTO = AccessFormat(layouts_of("auto"), "UTC")
EXCERPT = PROJECT / "hdfs_pipeline_tests" / "golden" / "weblogs" / "combined.log"
ORACLE = re.compile(
    r'(\S+) (\S+) (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{1,3}|-) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
)


def record(line: str, log_format: AccessFormat = AUTO) -> dict[str, Any]:
    return read_messages([line.encode()], log_format).to_pylist()[0]


def rows(data: bytes, size: int | None = None, **more: Any) -> list[dict[str, Any]]:
    step = size or max(len(data), 1)
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    return [row for batch in split_records(chunks, AUTO, Tally(), **more) for row in batch.to_pylist()]


@pytest.mark.parametrize(("line", "differs"), LINES, ids=range(len(LINES)))
def test_a_line_of_every_layout_becomes_its_record(line: str, differs: dict[str, Any]) -> None:
    found = record(line)
    found.pop("position")
    assert found.pop("line") == line.removeprefix("\ufeff").removesuffix("\r")
    assert found == COMBINED | differs


@pytest.mark.parametrize("number", range(len(KNOWN)), ids=[layout.name for layout in KNOWN])
def test_every_known_layout_reads_its_example(number: int) -> None:
    found = record(KNOWN[number].example)
    assert found["fault"] is None
    assert found["layout"] == KNOWN[number].name


@pytest.mark.parametrize(("line", "why"), FAULTS)
def test_what_is_no_request_says_why(line: str, why: str) -> None:
    found = record(line)
    assert why in found["fault"]
    assert found["line"] == line
    assert found["time"] is None and not found["layout"] and not found["path"]


@pytest.mark.parametrize(("pattern", "line", "expected"), PATTERNS)
def test_a_pattern_of_ones_own(pattern: str, line: str, expected: dict[str, Any]) -> None:
    found = record(line, AccessFormat.of(load_settings().model_copy(update={"web_format": pattern})))
    assert found["fault"] is None
    assert found["layout"] == f"own format {pattern}"
    assert {"time": COMBINED["time"], **expected}.items() <= found.items()


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("hello", "needs a time"),
        ("%h %t", "needs a time"),
        ('%h %t "%r" %Y', "%Y is not known"),
        ("%h%u %t %s", "ends and the next begins"),
        ('%{%s}t "%r" %s', "is not known here"),
        ('%t "%r" %{h}T', "there are us, ms, s"),
        ("$time_local $request $status", "set it in quotes"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_so(pattern: str, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        AccessFormat.of(load_settings().model_copy(update={"web_format": pattern}))


def test_times_without_a_zone_are_of_the_settings() -> None:
    berlin = AccessFormat.of(load_settings().model_copy(update={"log_timezone": "Europe/Berlin"}))
    assert record(HEAD.replace(" +0000", ""), berlin)["time"] == datetime(2026, 11, 30, 9, 15, tzinfo=UTC)
    assert record(HEAD, berlin)["time"] == COMBINED["time"]


def test_services_are_those_of_the_lines_else_those_given() -> None:
    lines = [HEAD.encode(), f"a.example {HEAD}".encode(), b"x"]
    assert read_messages(lines, AUTO, ["s", "t", "u"])["service"].to_pylist() == ["s", "a.example", ""]
    assert [row["service"] for row in rows(b"\n".join(lines), service="s")] == ["s", "a.example", ""]


def test_the_excerpt_of_a_real_log_is_read_whole() -> None:
    tally = Tally()
    found = pa.Table.from_batches(list(split_records([EXCERPT.read_bytes()], AUTO, tally)))
    assert found.schema == RECORDS
    assert (tally.lines, tally.records, dict(tally.layouts)) == (200, 200, {"Combined": 200})
    assert found["position"].to_pylist() == list(range(1, 201))
    for row in found.to_pylist():
        agrees(row["line"], row)


def test_every_line_of_a_real_log_is_accounted_for(shared: Path) -> None:
    real = shared / "weblogs" / "elastic_apache_logs.log.gz"
    if not real.exists():
        pytest.skip(f"no real access log at {real}")
    found = rows(gzip.decompress(real.read_bytes()))
    assert len(found) == 10_000
    assert [row["fault"] is None for row in found].count(False) == 1  # a line that was cut inside its agent
    for row in found:
        agrees(row["line"], row)


def nothing(text: str) -> str:
    return "" if text in ("-", '""') else text


def agrees(line: str, row: dict[str, Any]) -> None:
    """Hold a record to what a plain regular expression finds in its line."""
    found = ORACLE.fullmatch(line)
    assert (found is not None) == (row["fault"] is None)
    if found is None:
        return
    client, _, account, time, request, status, size, referer, agent = found.groups()
    assert row["time"] == datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z")
    assert (row["client"], row["account"]) == (nothing(client), nothing(account))
    assert (row["referer"], row["agent"]) == (nothing(referer), nothing(agent))
    assert row["status"] == (0 if status == "-" else int(status))
    assert row["bytes"] == (None if size == "-" else int(size))
    usual = re.fullmatch(r"(\w+) ([^ ?]+)(?:\?([^ ]*))? (HTTP/\S+)", request)
    if usual:
        assert (row["method"], row["path"], row["query"] or None, row["protocol"]) == (
            usual[1], usual[2], usual[3] or None, usual[4],
        )  # fmt: skip


QUOTED = st.text(st.sampled_from('aZ09 -/?=.%[]\\"é'), max_size=24).map(
    lambda text: re.sub(r'\\*"', r"\"", re.sub(r"\\+$", "", text))
)
WORD = st.text(st.sampled_from("abz09.:-_"), min_size=1, max_size=12)
COMBINED_LINES = st.builds(
    '{} - {} [{:02}/Nov/2026:{:02}:15:07 {}] "{}" {} {} "{}" "{}"'.format,
    WORD, WORD, st.integers(1, 30), st.integers(0, 23), st.sampled_from(["+0000", "-0730", "+0200"]),
    st.one_of(QUOTED, st.sampled_from(["GET / HTTP/1.1", "-", "POST /a?b=c HTTP/2.0", "GET /x"])),
    st.one_of(st.integers(100, 599), st.just("-")), st.one_of(st.integers(0, 10**12), st.just("-")), QUOTED, QUOTED,
)  # fmt: skip


@given(COMBINED_LINES)
def test_the_scan_agrees_with_a_regular_expression(line: str) -> None:
    agrees(line, record(line))


SOME = st.one_of(
    st.binary(max_size=60).map(lambda data: data.replace(b"\n", b" ")),
    st.sampled_from([line.encode() for line, _ in LINES] + [line.encode() for line, _ in FAULTS]),
    st.sampled_from([BOTH.encode()]).flatmap(
        lambda line: st.tuples(st.integers(0, len(line)), st.binary(max_size=3)).map(
            lambda cut: line[: cut[0]] + cut[1].replace(b"\n", b"") + line[cut[0] :]
        )
    ),
)


@given(st.lists(SOME, max_size=8), st.integers(1, 700), st.booleans())
@settings(max_examples=60)
def test_borders_of_chunks_do_not_matter_and_nothing_is_lost(lines: list[bytes], size: int, ended: bool) -> None:
    data = b"\n".join(lines) + b"\n" * (ended and bool(lines))
    whole = rows(data)
    assert whole == rows(data, size)
    assert len(whole) == len(data.split(b"\n")) - (not data or data.endswith(b"\n"))
    alone = read_messages(data.split(b"\n")[: len(whole)], AUTO).to_pylist()
    for number, (row, single) in enumerate(zip(whole, alone, strict=True)):
        assert row == single | {"position": number + 1}
        assert (row["fault"] is None) == (row["time"] is not None)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_messages_of_any_bytes_never_raise(values: list[bytes]) -> None:
    found = read_messages(values, AUTO)
    assert found.num_rows == len(values)
    found.validate(full=True)


@given(st.lists(st.text(st.sampled_from("abcé€"), max_size=20), min_size=1, max_size=6))
def test_texts_of_every_length_are_kept(agents: list[str]) -> None:
    data = "\n".join(f'{HEAD} "-" "{agent}"' for agent in agents).encode()
    assert [row["agent"] for row in rows(data)] == agents


def test_a_log_that_has_grown_goes_on_counting_its_lines() -> None:
    chunks = [f"{BOTH}\n".encode() * 3, f"{BOTH}\n".encode() * 2]
    batches = split_records(chunks, AUTO, Tally(lines=9))
    assert [at for batch in batches for at in batch["position"].to_pylist()] == [10, 11, 12, 13, 14]
