"""Dagster's page, asked over GraphQL, and conditions that are waited for."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any


def ask(port: int, query: str, variables: dict[str, Any] | None = None) -> Any:
    """The data of an answer."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """What a condition gives once it gives anything; nobody may listen yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s")
