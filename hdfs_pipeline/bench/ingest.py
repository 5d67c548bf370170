"""What it costs to read logs into a home, small and large: all at once, and a few new lines up to their incidents.

Each ingest is a process of its own. Homes are made of a sample that is repeated with fresh block ids, each repetition
days later than the one before; the new lines are later than all of them.
"""

import json
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hdfs_pipeline.bench.commands import command, python
from hdfs_pipeline.bench.parse import file_to_matrix
from hdfs_pipeline.bench.peers import Watch
from hdfs_pipeline.bench.samples import BenchFile, machine, make_file
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.store.store import Store

BLOCKS: Final = (20_000, 200_000)
"""Blocks of the homes, the smallest first."""
NEW_LINES: Final = 10_000
ROUNDS: Final = 3
_TIMES_PARSE, _NEW_S, _TIMES_SMALL, _COMMAND_S, _COMMAND_MB = 3.0, 3.0, 1.3, 0.5, 300.0


def bench_ingest(
    settings: Settings,
    sample: Path,
    *,
    blocks: Sequence[int] = BLOCKS,
    new_lines: int = NEW_LINES,
    rounds: int = ROUNDS,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Make a home of at least so many blocks for each of `blocks`, by one ingest, and bring new lines into each.

    What judges is what needs no training, so that it is the same everywhere. Homes and files go afterwards.

    Returns a JSON-able dict: `matrix_s`, file to matrix of the largest home's file, as `bench_parse` measures it;
    `homes`, of each `blocks`, `lines`, `read_s` (the file into the home, its raw records kept), `judged_s` (its first
    verdicts and incidents), `new_s` (best round of new lines up to their incidents), `new_all_s`, `new_cpu_s`,
    `new_peak_mb`, `incidents`; `commands`, `seconds` and `peak_mb` of `explain` of a block and `status` in the largest
    home, with their start; `targets`; `machine`. Raises: SetupError where a process fails, DataError for a sample that
    is no log.
    """
    with TemporaryDirectory(prefix="bench.ingest.") as name:
        folder = Path(name)
        homes = []
        for count in sorted(blocks):
            say(f"a home of {count:,} blocks")
            homes.append(_home(settings, sample, count, folder))
        say("file to matrix")
        large = homes[-1]
        parsed = file_to_matrix(large["made"].path, large["source"], settings, rounds)
        large["made"].path.unlink()
        for number in range(rounds):
            say(f"{new_lines:,} new lines into each home, {number + 1} of {rounds}")
            for home in homes:
                home["new"].append(_new(settings, sample, new_lines, number, folder, home))
        asked = (("explain", "--", _anomaly(settings, large["home"])), ("status",))
        commands = {words[0]: _best([command(large["home"], *words) for _ in range(rounds)]) for words in asked}
    result = {
        "sample": sample.name,
        "new_lines": new_lines,
        "rounds": rounds,
        "matrix_s": parsed["seconds"],
        "matrix_cpu_s": parsed["cpu_s"],
        "homes": [_told(home) for home in homes],
        "commands": commands,
        "machine": machine(),
    }
    return result | {"targets": _targets(result)}


def work(path: str) -> None:
    """Read a file into the home that the environment names, judge what is there, and print how long both took."""
    from hdfs_pipeline.domains.blocks.records import LogFormat, split_records
    from hdfs_pipeline.domains.following import read_for_all
    from hdfs_pipeline.verdicts.files import publish_for_all

    settings, domain = load_settings(), domain_named("blocks")
    store = Store.open(settings)
    list(split_records([b"x\n"], LogFormat.of(settings)))  # loads the compiled code
    watch = Watch()
    source = read_for_all(store, settings, domain, [path]).source
    read = watch.read()
    publish_for_all(store, settings, domain)
    done = watch.read()
    with store.read() as con:
        incidents = con.execute("SELECT count(*) FROM incidents").fetchall()[0][0]
    times = {f"read_{name}": value for name, value in read.items()} | {f"all_{name}": done[name] for name in done}
    sys.stdout.write("\n" + json.dumps(times | {"incidents": incidents, "source": source}) + "\n")


def _work(home: Path, path: Path) -> dict[str, Any]:
    code = "import sys; from hdfs_pipeline.bench import ingest; ingest.work(sys.argv[1])"
    done = python(home, "-c", code, str(path))
    return json.loads(done["out"].splitlines()[-1]) | {"peak_mb": done["peak_mb"]}


def _home(settings: Settings, sample: Path, blocks: int, folder: Path) -> dict[str, Any]:
    """A home of at least so many blocks, and what it took to make it; its file stays."""
    made = _repeated(sample, blocks, folder, settings.seed)
    home = folder / f"{blocks}.home"
    home.mkdir()
    return {"home": home, "made": made, "new": [], **_work(home, made.path)}


def _repeated(sample: Path, blocks: int, folder: Path, seed: int) -> BenchFile:
    """A file of at least so many blocks."""
    target = folder / f"{blocks}.log"
    once = make_file(sample, 1, target, seed)
    return make_file(sample, -(-blocks // max(once.blocks, 1)) * once.lines, target, seed, spans=-1)


def _new(
    settings: Settings, sample: Path, lines: int, number: int, folder: Path, home: dict[str, Any]
) -> dict[str, Any]:
    """Bring the first lines of one more repetition into a home."""
    skip = home["made"].repetitions + number
    whole = make_file(sample, lines, folder / "whole.log", settings.seed, skip=skip, spans=number)
    new = folder / f"new.{number}.log"
    with whole.path.open("rb") as file, new.open("wb") as target:
        target.writelines(islice(file, lines))
    return _work(home["home"], new)


def _anomaly(settings: Settings, home: Path) -> str:
    """A block to explain: an anomalous one if there is one."""
    with Store.open(settings.model_copy(update={"home": home})).read() as con:
        found = con.execute("SELECT item FROM scores ORDER BY is_anomaly DESC, item LIMIT 1").fetchall()
    return str(found[0][0])


def _best(tries: list[dict[str, Any]]) -> dict[str, float]:
    return {name: min(each[name] for each in tries) for name in ("seconds", "cpu_s", "peak_mb")}


def _told(home: dict[str, Any]) -> dict[str, Any]:
    made, new = home["made"], home["new"]
    return {
        "blocks": made.blocks,
        "lines": made.lines,
        "read_s": home["read_seconds"],
        "read_cpu_s": home["read_cpu_s"],
        "judged_s": home["all_seconds"] - home["read_seconds"],
        "peak_mb": home["peak_mb"],
        "new_s": min(each["all_seconds"] for each in new),
        "new_all_s": [each["all_seconds"] for each in new],
        "new_cpu_s": min(each["all_cpu_s"] for each in new),
        "new_peak_mb": max(each["peak_mb"] for each in new),
        "incidents": new[-1]["incidents"],
    }


def _targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    small, large = result["homes"][0], result["homes"][-1]
    new, where = f"{result['new_lines']:,} new lines to incident", f"a home of {large['blocks']:,} blocks"
    aims = [
        (f"ingest of {large['lines']:,} lines, times as long as file to matrix, at most",
         large["read_s"] / result["matrix_s"], _TIMES_PARSE),
        (f"seconds from {new} in {where}, at most", large["new_s"], _NEW_S),
        (f"{new} in {where}, times as long as in one of {small['blocks']:,}, at most",
         large["new_s"] / small["new_s"], _TIMES_SMALL),
    ]  # fmt: skip
    for name, used in result["commands"].items():
        aims.append((f"seconds of {name} in {where}, at most", used["seconds"], _COMMAND_S))
        aims.append((f"MB of {name} in {where}, at most", used["peak_mb"], _COMMAND_MB))
    return [{"what": what, "value": value, "aim": aim, "met": value <= aim} for what, value, aim in aims]
