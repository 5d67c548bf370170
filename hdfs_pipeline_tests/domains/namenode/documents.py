"""Documents of real NameNodes, and the changes that tests make to them."""

import copy
import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[2] / "golden" / "jmx"
NAMES = sorted(path.name.removesuffix(".json.gz") for path in GOLDEN.glob("*.json.gz"))
T0 = datetime(2026, 11, 21, 12, tzinfo=UTC)

Document = dict[str, Any]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def document(name: str) -> Document:
    return json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))


def bean(found: Document, name: str) -> dict[str, Any]:
    """The bean with `name=NAME`; `RpcActivity` and `RpcDetailed` are those of the first port."""
    wanted = re.compile(
        {"RpcDetailed": r"RpcDetailedActivityForPort\d+", "RpcActivity": r"RpcActivityForPort\d+"}.get(name, name)
    )
    return next(each for each in found["beans"] if wanted.fullmatch(each["name"].partition("name=")[2].split(",")[0]))


def changed(found: Document, **beans: dict[str, Any]) -> Document:
    """A copy with attributes of beans set; a None takes the attribute away."""
    after = copy.deepcopy(found)
    for name, attributes in beans.items():
        one = bean(after, name)
        one.update(attributes)
        for attribute in [key for key, value in attributes.items() if value is None]:
            del one[attribute]
    return after


def without(found: Document, *names: str) -> Document:
    """A copy without the beans whose `name=` begins like this."""
    kept = [each for each in found["beans"] if not each["name"].partition("name=")[2].startswith(names)]
    return copy.deepcopy({"beans": kept})


def counters(found: Document) -> Iterator[tuple[dict[str, Any], str]]:
    for one in found["beans"]:
        for name, value in one.items():
            grows = name.endswith("NumOps") or name.startswith(("GcTimeMillis", "GcTotalExtraSleepTime"))
            if grows and isinstance(value, int):
                yield one, name


def busier(found: Document, calls: int = 50) -> Document:
    """The document a while later: `calls` more of every operation that there ever was."""
    after = copy.deepcopy(found)
    for one, name in counters(after):
        if one[name] > 0:
            one[name] += calls
    return after
