"""Templates: learned once from the first messages, only matched after that, and learned on without losing an id."""

from pathlib import Path

from hdfs_pipeline.domains.applogs.templates import UNMATCHED, catalogue_of, learn_more
from hdfs_pipeline.scoring.catalogue import UNKNOWN
from hdfs_pipeline_tests.domains.applogs.filling import APPLOGS, put
from hdfs_pipeline_tests.homes import Home, open_home


def line(number: int, message: str) -> bytes:
    return (
        f'{{"timestamp": {1796033700 + number}, "service": "shop", "level": "INFO", "message": "{message}"}}'.encode()
    )


def templates(home: Home) -> set[str]:
    return {template for (template,) in home.rows("SELECT DISTINCT template FROM app_logs")}


def test_templates_are_learned_once_and_then_matched(tmp_path: Path) -> None:
    home = open_home(tmp_path, app_first_messages=100)
    put(home, [line(at, f"order {at} was paid") for at in range(60)])
    assert templates(home) == {UNMATCHED}
    assert catalogue_of(home.settings) is None
    put(home, [line(at, f"mail of user {at} was queued") for at in range(60)], source_id=2)
    first = catalogue_of(home.settings)
    assert first is not None and len(first.templates) == 2
    assert templates(home) == {template.event_id for template in first.templates}, "what was read before is matched"
    before = APPLOGS.last_change(home.store) or 0
    put(home, [line(at, f"stock of item {at} has run dry") for at in range(60)], source_id=3)
    assert catalogue_of(home.settings) == first, "reading learns nothing"
    assert UNKNOWN in templates(home)
    assert len(APPLOGS.changed(home.store, before)) == 60
    before = APPLOGS.last_change(home.store) or 0
    assert learn_more(home.store, home.settings) == 1
    second = catalogue_of(home.settings)
    assert second is not None and second.version == first.version + 1
    assert second.templates[:2] == first.templates, "ids stay"
    assert UNKNOWN not in templates(home)
    assert len(APPLOGS.changed(home.store, before)) == 60, "messages with another template are judged anew"
    assert learn_more(home.store, home.settings) == 0
