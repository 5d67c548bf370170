"""Moves the models of an older release to the layout of this one: a folder per domain, pointers and cards alike.

The new folder is built beside the old one, with hard links to its model files, and takes its place by two renames. The
old folder is kept as it was. A process that is killed on the way leaves the old folder, or the new one, or neither in
its place: the next call finishes the work.
"""

import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.store.errors import in_plain_words
from hdfs_pipeline.store.migration.backups import free_name
from hdfs_pipeline.store.migration.cards import BLOCKS, domain_of, in_new_words, new_card

_log = logging.getLogger("hdfs_pipeline.store")
_MARK: Final = ".layout"
"""A file that says how the models' folder is laid out; older releases had none."""
_LAYOUT: Final = "models/<domain>/<detector>/<version>\n"
_LAST_SCHEMA: Final = 3  # of the store, in the last release that had no mark
_CHAMPION, _SERVED = "champion", "served.jsonl"


def migrate_models(models: Path, lock_timeout_s: float = 30.0) -> None:
    """Bring the models' folder of a home up to date. It costs one look at a file if the folder is up to date.

    Raises: SetupError if an older folder cannot be changed, or another process takes longer than `lock_timeout_s`.
    """
    if (models / _MARK).exists():
        return
    models = models.resolve()
    fresh = models.with_name(f".{models.name}.migrated")
    if not _is_old(models) and not fresh.exists():
        if models.is_dir():
            with suppress(OSError):  # a reader of someone else's home looks again each time
                (models / _MARK).write_text(_LAYOUT)
        return
    lock = FileLock(models.with_name(f".{models.name}.migration.lock"), timeout=lock_timeout_s)
    try:
        with in_plain_words(models, kinds=(OSError,)), lock:
            _migrate(models, fresh)
    except Timeout:
        raise SetupError(f"{models} is being brought up to date by another process: wait until that is done") from None
    except (SetupError, OSError) as error:
        raise SetupError(
            f"{models} was made by an older release and must be brought up to date once, which failed: {error}"
        ) from error


def _migrate(models: Path, fresh: Path) -> None:
    """The work itself, alone on the folder."""
    if (models / _MARK).exists():  # another process was first
        return
    backup = free_name(models, _LAST_SCHEMA)
    if models.exists():
        shutil.rmtree(fresh, ignore_errors=True)  # left by a killed process; the old folder may have changed since
        try:
            _build(models, fresh)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        models.rename(backup)
    elif not (fresh / _MARK).exists():
        shutil.rmtree(fresh)
        return
    fresh.rename(models)
    _log.warning(
        "%s was laid out by an older release and has been brought up to date: %s. Beside it lies %s, the folder as it "
        "was (if there are several, the one with the highest number).",
        *(models, _LAYOUT.strip(), f"{models.name}.schema{_LAST_SCHEMA}.backup"),
    )


def _is_old(models: Path) -> bool:
    return models.is_dir() and any(_has_versions(path) for path in models.iterdir())


def _has_versions(folder: Path) -> bool:
    """Whether a folder holds versions of a detector's model."""
    return folder.is_dir() and any(path.name.isdigit() for path in folder.iterdir())


def _build(models: Path, fresh: Path) -> None:
    """Write the new folder; its mark comes last."""
    fresh.mkdir()
    for path in sorted(models.iterdir()):
        if _has_versions(path):
            domain, detector = domain_of(path.name)
            _build_detector(path, fresh / domain / detector)
        elif path.name == "best.json":
            _write(fresh / BLOCKS / path.name, _best(path.read_text()))
        elif path.is_dir():
            shutil.copytree(path, fresh / path.name)
        elif path.suffix != ".lock":
            shutil.copy2(path, fresh / path.name)
    _write(fresh / _MARK, _LAYOUT)


def _build_detector(old: Path, new: Path) -> None:
    versions = sorted(path for path in old.iterdir() if path.name.isdigit())
    for folder in versions:
        (new / folder.name).mkdir(parents=True)
        for path in folder.iterdir():
            if path.name == "card.json":
                _write(new / folder.name / path.name, new_card(old.name, path.read_text(), indent=1))
            else:
                _lend(path, new / folder.name / path.name)
    for name in (_CHAMPION, _SERVED):
        if (old / name).exists():
            _write(new / name, (old / name).read_text())
    served = _pointer(old / "champion.json")
    if served:
        lines = [json.dumps({"version": version, "at": _made(old, version), "back": False}) for version in served]
        _write(new / _SERVED, "\n".join([*lines, ""]))
        _write(new / _CHAMPION, str(served[-1]))


def _pointer(path: Path) -> list[int]:
    """The versions of a NameNode's model that have served, with the serving one last; [] without a readable file.

    Older releases kept pointer and history of these models in one file.
    """
    try:
        pointer = json.loads(path.read_text())
        return [int(version) for version in (*pointer["before"], pointer["version"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _made(folder: Path, version: int) -> str:
    """When a version was made, '' if its card does not say. The history of older releases held no times."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((folder / f"{version:04d}" / "card.json").read_text())["created_at"])
    return ""


def _best(text: str) -> str:
    with suppress(ValueError):
        return json.dumps(in_new_words(json.loads(text)), indent=1)
    return text


def _lend(path: Path, target: Path) -> None:
    """Put a file's hard link at `target`, or a copy if links fail. The files of a version never change."""
    if path.is_dir():
        shutil.copytree(path, target)
        return
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
