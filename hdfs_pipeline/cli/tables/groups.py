"""Groups for the terminal."""

from collections.abc import Iterator, Sequence

from rich.markup import escape

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.verdicts.groups import GroupReport


def group_lines(shown: Sequence[GroupReport], count: int, item: Item) -> Iterator[str]:
    """Each group as a heading and the facts below it; lines of markup. `count` is the number of all groups."""
    if not count:
        yield f"no {item.noun} is anomalous, and none is worth asking about"
        return
    for group in shown:
        colour = "red" if group.severity == "failure" and group.flagged else "yellow"
        yield f"[bold {colour}]{escape(group.kind)}[/]: {_numbers(group, item)}{_severity(group)}"
        times = dict.fromkeys(f"{time:%Y-%m-%d %H:%M:%S}" for time in (group.first_time, group.last_time))
        facts = {
            "what": group.sentence,
            "next": group.hint,
            "began": f"{' to '.join(times)} UTC",
            "told by": ", ".join(f"{name} ({number:,})" for name, number in group.entities.items()),
            "example": group.example,
            "words": ", ".join(f"{number:,} {word}" for word, number in group.words.items()),
        }
        for fact, value in facts.items():
            if value:
                yield f"  [dim]{fact:<8}[/] {escape(value)}"
    more = f" ({count - len(shown):,} more: --all)" if count > len(shown) else ""
    yield f"{count:,} group{'s' * (count != 1)}{more}; say what one is: " + escape(
        "hdfs-pipeline feedback --group KIND --verdict real|false|expected"
    )


def _numbers(group: GroupReport, item: Item) -> str:
    what = item.noun if group.items == 1 else item.plural
    if group.flagged == group.items:
        return f"{group.items:,} {what}"
    return f"{group.items:,} {what}, {f'{group.flagged:,} of them' if group.flagged else 'not'} flagged"


def _severity(group: GroupReport) -> str:
    return f" [dim]({group.severity})[/]" if group.severity else ""
