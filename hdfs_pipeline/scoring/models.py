"""Saved models: ``models/<detector>/<version>/`` holds the model, the vectors it learned from, its card; no pickle.

Beside the versions lie `champion`, a file that holds the version which serves, and `served.jsonl`, what has served.
Beside the detectors lies `best.json`, the latest choice between them, where the setting `champion` is `best`.
"""

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings

BEST = "best"
"""What the setting `champion` says where retrainings are to choose the detector."""
_CHAMPION = "champion"
_CHOICE = "best.json"
_SERVED = "served.jsonl"
_VECTORS = "vectors.safetensors"
_BLOCKS = "blocks.safetensors"
_OPTIONAL = {field.name for field in fields(Card) if (field.default, field.default_factory) != (MISSING, MISSING)}


def save_model(
    scorer: Scorer, settings: Settings, *, promote: bool = True, judged_on: np.ndarray | None = None
) -> Scorer:
    """Write the next version of a model, and make it the champion if `promote`; the scorer with its card completed.

    The folder appears whole or not at all. `judged_on` (n,) uint64 are marks of blocks that it was held against.
    """
    from safetensors.numpy import save_file

    folder = settings.models / scorer.card.detector
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=folder))
    try:
        scorer.detector.save(staging)
        vectors = {"normals": scorer.normals, "seen": scorer.seen}
        if scorer.told is not None and scorer.told_labels is not None and len(scorer.told):
            vectors |= {"told": scorer.told, "told_labels": scorer.told_labels}
        # safetensors writes the bytes as they lie: an array that is not in C order would come back with others.
        save_file({name: np.ascontiguousarray(rows) for name, rows in vectors.items()}, staging / _VECTORS)
        if scorer.learned is not None:
            judged = np.zeros(0, np.uint64) if judged_on is None else judged_on
            blocks = {"learned": np.sort(scorer.learned), "judged": np.sort(judged)}
            blocks |= {"verdicts": scorer.verdicts} if scorer.verdicts is not None else {}
            save_file(blocks, staging / _BLOCKS)
        files = {path.name: _digest(path) for path in sorted(staging.iterdir())}
        staging.chmod(0o755)
        for path in staging.iterdir():  # safetensors writes for its owner only
            path.chmod(0o644)
        card = _publish(replace(scorer.card, files=files), staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if promote:
        promote_model(settings, card.detector, card.version)
    return replace(scorer, card=card)


def _publish(card: Card, staging: Path, folder: Path) -> Card:
    """Write the card with the next version's number and give `staging` its name; the card."""
    while True:
        card = replace(card, version=max(_versions(folder), default=0) + 1)
        (staging / "card.json").write_text(json.dumps(card.to_json(), indent=1))
        target = folder / f"{card.version:04d}"
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        else:  # otherwise another training took the number meanwhile
            return card


def promote_model(
    settings: Settings, name: str, version: int, *, instead_of: int | None = None, back: bool = False
) -> int | None:
    """Make a version the champion (`back`: again); the version that served before, None where there was none.

    Whoever reads the pointer meanwhile finds the one or the other. With `instead_of` only where that version still
    serves. Raises: NotTrainedError for a version that is missing or damaged; DataError where another one serves by now.
    """
    read_card(settings, name, version)
    folder = settings.models / name
    with FileLock(folder / f".{_CHAMPION}.lock", timeout=settings.lock_timeout_s):
        before = champion_version(settings, name)
        if instead_of not in (None, before):
            raise DataError(
                f"version {version} of {name} was held against version {instead_of}, and by now version {before} "
                "serves: nothing was changed; run `hdfs-pipeline retrain` again"
            )
        if before is not None and not (folder / _SERVED).exists():  # a model of an older release
            _remember(folder, before, back=False)
        write_whole(folder / _CHAMPION, str(version))
        # After the pointer: should the process end between the two, `rollback` still knows what served before.
        _remember(folder, version, back=back)
    return before


def write_whole(path: Path, text: str) -> None:
    """Write a small file: whoever reads it meanwhile, or after a crash, finds the old one or this one, whole."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _remember(folder: Path, version: int, *, back: bool) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with (folder / _SERVED).open("a") as file:
        file.write(json.dumps({"version": version, "at": at, "back": back}) + "\n")


def _served(folder: Path) -> list[tuple[int, bool]]:
    """What has served, and whether it was brought back, oldest first; a line that was cut off is passed over."""
    found = []
    for line in (folder / _SERVED).read_text().splitlines() if (folder / _SERVED).exists() else []:
        with suppress(ValueError, KeyError):
            entry = json.loads(line)
            found.append((int(entry["version"]), bool(entry["back"])))
    return found


def champion_version(settings: Settings, name: str) -> int | None:
    """The version of a detector's model that serves, None where there is none."""
    try:
        return int((settings.models / name / _CHAMPION).read_text())
    except (OSError, ValueError):
        return None


def newest_version(settings: Settings, name: str) -> int:
    """The version of a detector's model that was saved last, whether it serves or not; 0 where there is none."""
    return max(_versions(settings.models / name), default=0)


def previous_version(settings: Settings, name: str) -> int:
    """The version that served before the champion, where what was rolled back is forgotten.

    Raises: NotTrainedError where none serves; DataError where none has served before.
    """
    serving = int(model_folder(settings, name).name)
    entries = _served(settings.models / name)
    stack: list[int] = []
    for version, back in [*entries, (serving, True)]:
        if back and version in stack:
            stack = stack[: stack.index(version)]
        if stack[-1:] != [version]:
            stack.append(version)
    older = [version for version in _versions(settings.models / name) if version < serving]
    if len(stack) < 2 and not (older and not entries):  # models of older releases have no record of what served
        raise DataError(f"no version of {name} has served before version {serving}: name one with --to VERSION")
    return stack[-2] if len(stack) > 1 else max(older)


def read_card(settings: Settings, name: str, version: int) -> Card:
    """The card of a version whose files are whole. Raises: NotTrainedError where one is missing or was changed."""
    folder = model_folder(settings, name, version)
    again = f"run `hdfs-pipeline train --detector {name}`"
    try:
        raw = json.loads((folder / "card.json").read_text())
        known = {field.name for field in fields(Card)} - (_OPTIONAL - set(raw))
        card = Card(**{field: raw[field] for field in known})
        card = replace(card, columns=tuple(card.columns), files=dict(card.files), threshold=float(card.threshold))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotTrainedError(f"{folder}: its card is missing or damaged ({error}); {again}") from None
    for file, digest in card.files.items():
        if not (folder / file).is_file() or _digest(folder / file) != digest:
            raise NotTrainedError(f"{folder / file}: missing, or not the file that was saved; {again}")
    return card


def cards(settings: Settings, name: str) -> list[Card]:
    """The cards of all versions of a detector's model that are whole, oldest first."""
    found = []
    for version in sorted(_versions(settings.models / name)):
        try:
            found.append(read_card(settings, name, version))
        except NotTrainedError:  # a damaged version serves nobody
            continue
    return found


def marked_blocks(settings: Settings, name: str, version: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Marks (n,) uint64 of the blocks that a version learned from, and of those it was held against; both sorted.

    None for a model of an older release, which kept none.
    """
    from safetensors.numpy import load_file

    path = model_folder(settings, name, version) / _BLOCKS
    if not path.exists():
        return None
    with reading(name, path):
        blocks = load_file(path)
        return blocks["learned"], blocks["judged"]


def known_verdicts(settings: Settings, name: str, version: int) -> dict[int, int]:
    """The verdicts that were known when a version was trained: label by block id."""
    from safetensors import safe_open

    path = model_folder(settings, name, version) / _BLOCKS
    if not path.exists():
        return {}
    with reading(name, path), safe_open(path, "numpy") as file:
        return dict(file.get_tensor("verdicts").tolist()) if "verdicts" in file.keys() else {}  # noqa: SIM118


def model_folder(settings: Settings, name: str, version: int | None = None) -> Path:
    """Folder of a version of a detector's model, of the champion by default. Raises: NotTrainedError."""
    if version is None:
        version = champion_version(settings, name)
        if version is None:
            raise NotTrainedError(
                f"no {name} model in {settings.home}: run `hdfs-pipeline train --detector {name}`"
            ) from None
    return settings.models / name / f"{version:04d}"


def load_model(cls: type[Detector], settings: Settings, version: int | None = None) -> Scorer:
    """Load a version of a detector's model, the champion by default.

    Raises: NotTrainedError where there is none, or where a file is missing or not the one that was saved.
    """
    from safetensors.numpy import load_file

    folder = model_folder(settings, cls.name, version)
    card = read_card(settings, cls.name, int(folder.name))
    with reading(cls.name, folder / _VECTORS):
        vectors = load_file(folder / _VECTORS)
        normals, seen = vectors["normals"], vectors["seen"]
    told, told_labels = vectors.get("told"), vectors.get("told_labels")
    return Scorer(cls.load(folder), card, normals, seen, told=told, told_labels=told_labels)


def named_champion(settings: Settings) -> str:
    """The detector that is to serve, by the settings or, where they say `best`, by the latest choice.

    Before the first choice that is random_forest.
    """
    if settings.champion != BEST:
        return settings.champion
    return str((read_choice(settings) or {}).get("detector", Settings.model_fields["champion"].default))


def read_choice(settings: Settings) -> dict[str, Any] | None:
    """The latest choice between the detectors of a home, as `keep_choice` was given it; None before the first."""
    try:
        found = json.loads((settings.models / _CHOICE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("detector"), str) else None


def keep_choice(settings: Settings, choice: dict[str, Any]) -> None:
    """Write a choice between detectors (`detector` and whatever led to it); readers find the old one or this one."""
    settings.models.mkdir(parents=True, exist_ok=True)
    write_whole(settings.models / _CHOICE, json.dumps(choice, indent=1))


def trained_detectors(settings: Settings) -> list[str]:
    """Names of the detectors that have a champion in this home."""
    return sorted(path.parent.name for path in settings.models.glob(f"*/{_CHAMPION}"))


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
