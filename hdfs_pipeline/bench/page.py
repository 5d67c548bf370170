"""The recorded runs of `bench all`: a line of JSON each, and the page that is made of them and of nothing else."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.bench.samples import describe
from hdfs_pipeline.errors import DataError

HISTORY: Final = "history.jsonl"
_RUNS: Final = 5  # of the latest, side by side
_HEAD: Final = """# Benchmarks

Made by `hdfs-pipeline bench all` from the runs that [{history}]({history}) records; not written by hand.
Each part is small, so that all of them take minutes; its own command measures at full size.
Ratios come from processes of one run that follow each other. Figures of different machines, or of a machine with other
work on it (its load stands with it), cannot be compared.
"""
_WORDS: Final = {True: "met", False: "**missed**", None: "not measured"}


def record(run: Mapping[str, Any], folder: Path) -> Path:
    """Add a run of `bench_all` to the history in `folder`, and make the page anew, which is returned: `folder`.md.

    Raises: DataError where files cannot be written, or where a line of the history is no run.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(run, ensure_ascii=False) + "\n")
        return write_page(folder)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; name another folder with --into") from None


def write_page(folder: Path) -> Path:
    """Make the page of the history in `folder`. Raises: as `record`."""
    page = folder.parent / f"{folder.name}.md"
    page.write_text(page_of(read_history(folder / HISTORY), f"{folder.name}/{HISTORY}"), encoding="utf-8")
    return page


def read_history(path: Path) -> list[dict[str, Any]]:
    """The recorded runs, the oldest first. Raises: DataError naming the line that is none."""
    runs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            run = json.loads(line)
            run["parts"], run["date"]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}:{number} is no run of `bench all`: take the line out") from None
        runs.append(run)
    return runs


def page_of(runs: Sequence[Mapping[str, Any]], history: str) -> str:
    """The text of the page: machine and versions of the latest run, each part with its figures, and the runs before."""
    shown = list(reversed(runs[-_RUNS:]))
    names = list(dict.fromkeys(part["part"] for run in shown for part in run["parts"]))
    parts = ["\n".join(_part(name, shown)) for name in names]
    return "\n".join([_HEAD.format(history=history), *_machines(shown), *parts])


def _machines(shown: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Runs\n"
    yield "| run | commit | machine |\n|---|---|---|"
    for run in shown:
        yield f"| {run['date']} | {run['commit']} | {describe(run['machine'])} |"
    yield ""


def _part(name: str, shown: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A part of the latest run that has it, with the same figures of the other runs beside it."""
    found: list[dict[str, Any]] = [next((part for part in run["parts"] if part["part"] == name), {}) for run in shown]
    latest = next(part for part in found if part)
    whats = list(dict.fromkeys(figure["what"] for part in found for figure in part.get("figures", [])))
    beside = ", ".join(f"{peer} {version}" for peer, version in latest.get("peers", {}).items())
    yield f"## {name}\n\n{latest['about']}{beside and f' Beside it: {beside}.'}\n"
    if "missing" in latest:
        yield f"Did not run: {_cell(latest['missing'])}\n"
    if not whats:
        return
    yield f"| figure | aim | {' | '.join(run['date'][:16].replace('T', ' ') for run in shown)} |"
    yield "|---" * (2 + len(shown)) + "|"
    for what in whats:
        figures = [next((each for each in part.get("figures", []) if each["what"] == what), None) for part in found]
        aim = next(figure["aim"] for figure in figures if figure)
        yield f"| {_cell(what)} | {aim:,g} | {' | '.join(_value(figure) for figure in figures)} |"
    yield ""


def _value(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    if figure["value"] is None:
        return _cell(figure.get("why") or _WORDS[None])
    value = figure["value"]
    return f"{value:,.0f}, {_WORDS[figure['met']]}" if value >= 1000 else f"{value:.4g}, {_WORDS[figure['met']]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
