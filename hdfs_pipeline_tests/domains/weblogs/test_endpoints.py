"""Addresses that differ in ids only are one endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.weblogs.endpoints import endpoint_of


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("/", "/"),
        ("", "-"),
        ("*", "-"),
        ("example.com:443", "-"),
        ("//", "/"),
        ("/a/", "/a"),
        ("/a//b", "/a/b"),
        ("/users/4711", "/users/*"),
        ("/users/4711.html", "/users/*.html"),
        ("/users/2026-11-30/x", "/users/*/x"),
        ("/o/9f8e7d6c", "/o/*"),
        ("/o/cafe", "/o/cafe"),
        ("/o/123e4567-e89b-12d3-a456-426614174000/edit", "/o/*/edit"),
        ("/a/b/c/d/e", "/a/b/c"),
        ("/static/x/site.CSS", "*.css"),
        ("/static/app.1234.js", "*.js"),
        ("/v1.2/x.unknown", "/v1.2/x.unknown"),
        ("/" + "x" * 99, "/" + "x" * 32),
        ("/" + "é" * 99, "/" + "é" * 16),
        ("/login;jsessionid=4F2/x", "/login/x"),
        ("http://a.example/b/7", "/b/*"),
        ("http://a.example", "/"),
        ("/webhdfs/v1", "/webhdfs/v1"),
        ("/webhdfs/v11/x", "/webhdfs/v11/x"),
    ],
)
def test_the_group_of_an_address(path: str, group: str) -> None:
    assert endpoint_of(path) == group


@pytest.mark.parametrize(("query", "group"), [("op=open", "OPEN"), ("a=1&OP=Get_Status&b", "GET_STATUS")])
def test_webhdfs_goes_by_its_operation(query: str, group: str) -> None:
    assert endpoint_of("/webhdfs/v1/user/jo/a.csv", query) == f"/webhdfs/v1/{group}"


@given(st.text(max_size=80), st.text(max_size=20))
def test_groups_are_short(path: str, query: str) -> None:
    group = endpoint_of(path, query)
    assert 0 < len(group.encode()) <= 110


@given(st.from_regex(r"(/[a-z0-9é.\-]{1,40}){1,5}", fullmatch=True))
def test_a_group_is_its_own_group_where_nothing_is_cut(path: str) -> None:
    group = endpoint_of(path)
    if not group.startswith("*"):
        assert endpoint_of(group) == group
