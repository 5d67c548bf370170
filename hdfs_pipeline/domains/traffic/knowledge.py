"""What is known of traffic windows before anything was learned: rules over their signs of trouble."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from hdfs_pipeline.domains.traffic.signs import SIGNS
from hdfs_pipeline.scoring.knowledge import Knowledge, compile_rules, read_rules
from hdfs_pipeline.settings import Settings

COLUMNS: Final = (
    "group", "hour_of_week", "requests", "errors", "error_share", "client_errors", "client_error_share", "clients",
    "timed", "mean_ms", "sd_ms", "p50_ms", "p95_ms", "p99_ms", "late", "usual_minutes", "usual_requests",
    "spread_requests", "usual_errors", "usual_ms", "usual_p50_ms", "timed_minutes", "before_requests",
    "before_errors", *SIGNS,
)  # fmt: skip
"""The columns of the main family: response times in ms, shares per mille, and signs that are 0 or 1."""


def knowledge_of(settings: Settings) -> Knowledge:
    """The shipped rules without those that the setting `rules_left_out` names."""
    return _knowledge().without(settings.rules_left_out)


@lru_cache(maxsize=1)
def _knowledge() -> Knowledge:
    rules = read_rules(Path(__file__).parent / "traffic.rules.toml")
    is_sign = np.isin(COLUMNS, SIGNS)
    return compile_rules(rules, COLUMNS, {}, is_sign, ~is_sign)


def sentence_of(rule: str, window: Mapping[str, float]) -> str:
    """What a rule says of a window that breaks it, with the numbers behind it; `window` holds `COLUMNS`."""
    own = {name: window.get(name, 0.0) for name in COLUMNS}
    both, errors = own["requests"] + own["before_requests"], own["errors"] + own["before_errors"]
    usually = f"{own['usual_requests']:,.0f} requests a minute"
    clients = f"{own['clients']:,.0f} client{'' if own['clients'] == 1 else 's'}"
    said = {
        "error-rate": f"error rate {_percent(1000 * errors / max(both, 1))} of {both:,.0f} requests in two minutes, "
        f"usually {_percent(own['usual_errors'])}",
        "slow": f"response time {milliseconds(own['p50_ms'])} by half of {own['timed']:,.0f} answers, usually "
        f"{milliseconds(own['usual_p50_ms'])}",
        "drop": f"{own['requests']:,.0f} requests after {own['before_requests']:,.0f} in the minute before, usually "
        f"{usually}",
        "flash-crowd": f"{own['requests']:,.0f} requests from {clients}, usually {usually}",
        "spike": f"{own['requests']:,.0f} requests from only {clients}, usually {usually}",
        "erratic": f"5 % of the answers take {milliseconds(own['p95_ms'])} or longer, and usually an answer takes "
        f"{milliseconds(own['usual_ms'])}",
    }
    return said[rule]


def _percent(per_mille: float) -> str:
    """A share as people read it: 34 %, 0.4 %, 0 %."""
    percent = per_mille / 10
    return f"{percent:.0f} %" if percent >= 10 or not percent else f"{percent:.1f} %"


def milliseconds(value: float) -> str:
    """A response time as people read it: 1.8 ms, 40 ms, 2.3 s."""
    if value >= 1000:
        return f"{value / 1000:,.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def said_of(column: str, count: float, expected: float) -> str:
    """A measure and what was expected of it, as people read it."""
    name, form = MEASURES.get(column, (column, "{:,.0f}"))
    if form == "ms":
        return f"{name} {milliseconds(count)}, usually {milliseconds(expected)}"
    if form == "share":
        return f"{name} {_percent(count)}, usually {_percent(expected)}"
    return f"{name} {form.format(count)}, usually {form.format(expected)}"


MEASURES: Final[dict[str, tuple[str, str]]] = {
    "group": ("group", "{:.0f}"),
    "hour_of_week": ("hour of the week", "{:.0f}"),
    "requests": ("requests", "{:,.0f}"),
    "errors": ("failed requests", "{:,.0f}"),
    "error_share": ("error rate", "share"),
    "client_errors": ("requests refused", "{:,.0f}"),
    "client_error_share": ("share of requests refused", "share"),
    "clients": ("clients", "{:,.0f}"),
    "timed": ("requests with a response time", "{:,.0f}"),
    "mean_ms": ("mean response time", "ms"),
    "sd_ms": ("standard deviation of the response time", "ms"),
    "p50_ms": ("median response time", "ms"),
    "p95_ms": ("95 % response time", "ms"),
    "p99_ms": ("99 % response time", "ms"),
    "late": ("late requests", "{:,.0f}"),
    "usual_minutes": ("minutes of the baseline", "{:.0f}"),
    "usual_requests": ("usual requests", "{:,.0f}"),
    "spread_requests": ("usual spread of requests", "{:,.0f}"),
    "usual_errors": ("usual error rate", "share"),
    "usual_ms": ("usual mean response time", "ms"),
    "usual_p50_ms": ("usual median response time", "ms"),
    "timed_minutes": ("minutes with a response time", "{:.0f}"),
    "before_requests": ("requests of the minute before", "{:,.0f}"),
    "before_errors": ("failed requests of the minute before", "{:,.0f}"),
    "ERRORS": ("error rate", "{:.0f}"),
    "SLOW": ("slow response time", "{:.0f}"),
    "ERRATIC": ("erratic response time", "{:.0f}"),
    "DROP": ("traffic drop", "{:.0f}"),
    "CROWD": ("flash crowd", "{:.0f}"),
    "SPIKE": ("traffic spike", "{:.0f}"),
}
"""What columns are called, and how their values are written."""
