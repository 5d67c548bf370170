"""Rules over the state of HDFS: what of it is trouble, how grave, in which words, and what to look at next.

The rules are data (`state.rules.toml`); their limits are numbers or settings.
"""

import math
import operator
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.settings import Settings

ABOUT: Final = ("namenode", "hdfs", "datanode", "datanode_jmx")
RULES_FILE: Final = Path(__file__).with_name("state.rules.toml")
Figures = Mapping[str, float | str]
"""What a rule is judged on: figures, and texts for its sentence, by name; what is unknown is left out."""

_CONDITION: Final = re.compile(r"(\w+) (>=|<=|>|<) (\w+(?:\.\d+)?)")
_BRACES: Final = re.compile(r"\{(\w+)(?::([^}]*))?\}")
_SIGNS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FARTHEST: Final = 1e6
NEVER_S: Final = 1e9
"""Seconds since a heartbeat that a NameNode says where there never was one: those since 1970."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


@dataclass(frozen=True)
class StateRule:
    """A rule: the kind of trouble, of what it is (one of ABOUT), when it holds, and what a person should know.

    `polls` in a row must show it. `sentence` has figures in braces; `hint` says what to look at next; `reason` why it
    is trouble. `faults` are kinds of faults, as recordings call them, that show so.
    """

    kind: str
    about: str
    severity: str
    when: tuple[str, ...]
    sentence: str
    hint: str
    reason: str
    polls: int = 1
    faults: tuple[str, ...] = ()

    def ratio(self, figures: Figures, settings: Settings) -> float | None:
        """How many times its limit the first figure is, at least 1, where the rule holds; 0 where it does not.

        None where a figure is unknown.
        """
        ratio = 0.0
        for place, condition in enumerate(self.when):
            name, sign, limit_text = _parts(condition)
            value, limit = figures.get(name), _limit(limit_text, figures, settings)
            if not isinstance(value, int | float) or limit is None:
                return None
            if not _SIGNS[sign](value, limit):
                return 0.0
            if place == 0:
                high, low = (value, limit) if sign.startswith(">") else (limit, value)
                ratio = min(high / low, _FARTHEST) if low > 0 else max(1.0, min(high, _FARTHEST))
        return max(1.0, ratio)

    def told(self, figures: Figures) -> dict[str, float | str]:
        """The figures that it rests on and names, as far as they are known and finite."""
        names = [_parts(condition)[0] for condition in self.when] + [hole[0] for hole in _BRACES.findall(self.sentence)]
        known = {name: figures[name] for name in names if name in figures}
        return {name: value for name, value in known.items() if isinstance(value, str) or math.isfinite(value)}

    def words(self, figures: Figures) -> str:
        """The sentence with its figures."""
        return _BRACES.sub(lambda hole: _shown(figures.get(hole[1]), hole[2] or ""), self.sentence)


@cache
def state_rules() -> tuple[StateRule, ...]:
    """The rules that ship. Raises: DataError naming the rule that cannot be used."""
    return tuple(read_state_rules(RULES_FILE))


def rules_about(about: str) -> Iterator[StateRule]:
    """The rules about one of ABOUT."""
    return (rule for rule in state_rules() if rule.about == about)


def rule_of(kind: str) -> StateRule | None:
    """The rule that gives a kind; None where no rule does."""
    return next((rule for rule in state_rules() if rule.kind == kind), None)


def read_state_rules(path: Path) -> Iterator[StateRule]:
    """The rules of a TOML file with tables ``[[rule]]``. Raises: DataError naming the file and the rule."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise DataError(f"{path}: not a file of rules that can be read ({error})") from None
    kinds: set[str] = set()
    for number, row in enumerate(rows, start=1):
        if fault := next(_faults(row, kinds), ""):
            raise DataError(f"{path}, rule {number}: {fault}")
        kinds.add(row["kind"])
        yield StateRule(**(row | {"when": tuple(row["when"]), "faults": tuple(row.get("faults", ()))}))


def _faults(row: Any, kinds: set[str]) -> Iterator[str]:
    names = {field.name for field in fields(StateRule)}
    texts = names - {"when", "polls", "faults"}
    if strange := sorted(row.keys() - names):
        yield f"a rule has the fields {', '.join(sorted(names))}, not {', '.join(strange)}"
    if lacking := sorted(name for name in texts if not isinstance(row.get(name), str) or not row[name]):
        yield f"{', '.join(lacking)} is no text"
    elif row["kind"] in kinds:
        yield f"the kind {row['kind']!r} is taken"
    if row.get("severity") not in SEVERITIES:
        yield f"severity {row.get('severity')!r} is none of {', '.join(SEVERITIES)}"
    if row.get("about") not in ABOUT:
        yield f"about {row.get('about')!r} is none of {', '.join(ABOUT)}"
    when = row.get("when")
    if not isinstance(when, list) or not when:
        yield "when is a list of conditions"
    elif wrong := [text for text in when if not isinstance(text, str) or not _CONDITION.fullmatch(text)]:
        yield f"{wrong[0]!r} compares no figure with a number, a setting or a figure, as 'missing >= 1' does"
    if not isinstance(row.get("faults", []), list):
        yield "faults is a list of texts"
    if not isinstance(row.get("polls", 1), int) or row.get("polls", 1) < 1:
        yield "polls is a whole number from 1"


def _parts(condition: str) -> tuple[str, str, str]:
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise DataError(f"{condition!r} is no condition, as 'missing >= 1' is")
    return match[1], match[2], match[3]


def _limit(text: str, figures: Figures, settings: Settings) -> float | None:
    """A number, a setting or another figure; None for a figure that is unknown."""
    if text[0].isdigit():
        return float(text)
    value = getattr(settings, text) if text in type(settings).model_fields else figures.get(text)
    return float(value) if isinstance(value, int | float) else None


def _shown(value: float | str | None, form: str) -> str:
    """A figure in words: with a noun (`block|blocks`), as `bytes`, `percent` or `age`, or as it is."""
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return "an unknown number of " + form.partition("|")[2] if "|" in form else "an unknown number"
    if form == "bytes":
        power = min(int(math.log2(value) / 10), len(_UNITS) - 1) if value >= 1 else 0
        return f"{value / 1024**power:.1f} {_UNITS[power]}" if power else f"{value:.0f} B"
    if form == "percent":
        return f"{value:.1f} %"
    if form == "age":
        return _age(value)
    text = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
    one, _, many = form.partition("|")
    return text if not many else f"{text} {one if text == '1' else many}"


def _age(seconds: float) -> str:
    if seconds >= NEVER_S:
        return "as long as the NameNode knows it"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"
