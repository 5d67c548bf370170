"""Saved models: ``models/<domain>/<detector>/<version>/`` holds the model, what it learned from, its card; no pickle.

Beside the versions lie the file `champion`, which holds the version that serves, and `served.jsonl`, the versions that
have served. Beside the detectors of a domain lies `best.json`, the latest choice between them.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.migration.models import migrate_models

_CHAMPION = "champion"
_CHOICE = "best.json"
_SERVED = "served.jsonl"
_VECTORS = "vectors.safetensors"
_LEARNED = "blocks.safetensors"  # the name from the first release; it holds marks of items of any domain
_DIGEST = "digest"  # in a card's JSON: of everything else in it
_TRIED = 200  # rows that a model is tried on
_OPTIONAL = {field.name for field in fields(Card) if (field.default, field.default_factory) != (MISSING, MISSING)}


def domain_folder(settings: Settings, domain: str) -> Path:
    """Folder of all models of a domain. Models of an older release are brought up to date first."""
    migrate_models(settings.models, settings.lock_timeout_s)
    return settings.models / domain


def detector_folder(settings: Settings, domain: str, name: str) -> Path:
    """Folder of all versions of a detector's model in a domain."""
    return domain_folder(settings, domain) / name


def save_model(
    scorer: Scorer, settings: Settings, *, promote: bool = True, judged_on: np.ndarray | None = None
) -> Scorer:
    """Write the next version of a model, and make it the champion if `promote`. Returns the scorer with its full card.

    The folder appears whole or not at all. `judged_on` (n,) uint64 are marks of items that the model was judged on.
    Raises: DataError for a threshold that is not finite.
    """
    if not math.isfinite(scorer.card.threshold):
        raise DataError(
            f"the threshold of {scorer.card.detector} is {scorer.card.threshold}: it would flag nothing, or all. "
            "Train it on data whose scores are numbers"
        )
    folder = detector_folder(settings, scorer.card.domain, scorer.card.detector)
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=folder))
    try:
        scorer.detector.save(staging)
        if not scorer.detector.ordered:
            _save_vectors(scorer, staging / _VECTORS)
        if scorer.learned is not None:
            _save_learned(scorer, judged_on, staging / _LEARNED)
        files = {path.name: _digest(path) for path in sorted(staging.iterdir())}
        staging.chmod(0o755)
        for path in staging.iterdir():  # safetensors writes for its owner only
            path.chmod(0o644)
        card = _publish(replace(scorer.card, files=files), staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if promote:
        promote_model(settings, card.domain, card.detector, card.version)
    return replace(scorer, card=card)


def _save_vectors(scorer: Scorer, path: Path) -> None:
    """Save the normal rows, all rows, and those that people's words rule."""
    from safetensors.numpy import save_file

    vectors = {"normals": scorer.normals, "seen": scorer.seen}
    if scorer.ruled is not None and scorer.ruled_labels is not None and len(scorer.ruled):
        vectors |= {"told": scorer.ruled, "told_labels": scorer.ruled_labels}
    # safetensors writes the bytes as they lie in memory: an array that is not in C order would come back changed.
    save_file({name: np.ascontiguousarray(rows) for name, rows in vectors.items()}, path)


def _save_learned(scorer: Scorer, judged_on: np.ndarray | None, path: Path) -> None:
    """Save the marks of items learned and judged on, and the known feedback; text keys go into the metadata."""
    from safetensors.numpy import save_file

    assert scorer.learned is not None
    judged = np.zeros(0, np.uint64) if judged_on is None else judged_on
    arrays = {"learned": np.sort(scorer.learned), "judged": np.sort(judged)}
    metadata = None
    if scorer.feedback is not None:
        if all(isinstance(key, int) for key in scorer.feedback):
            arrays["verdicts"] = np.array(list(scorer.feedback.items()), np.int64).reshape(-1, 2)
        else:
            metadata = {"feedback": json.dumps(scorer.feedback)}
    save_file(arrays, path, metadata)


def _publish(card: Card, staging: Path, folder: Path) -> Card:
    """Write the card with the next version's number, and rename `staging` to that version. Returns the card."""
    while True:
        card = replace(card, version=max(_versions(folder), default=0) + 1)
        raw = json.loads(json.dumps(card.to_json()))
        (staging / "card.json").write_text(json.dumps(raw | {_DIGEST: _card_digest(raw)}, indent=1))
        target = folder / f"{card.version:04d}"
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        else:  # otherwise another training took the number meanwhile
            return card


def promote_model(
    settings: Settings,
    domain: str,
    name: str,
    version: int,
    *,
    instead_of: int | None = None,
    back: bool = False,
    by: str = "",
    note: str = "",
) -> int | None:
    """Make a version the champion (`back`: again). Returns the version that served before, None if there was none.

    `by` says which person wants it, '' for a training, and `note` why.

    A reader of the pointer finds either the old or the new version. With `instead_of`, only if that version still
    serves. Raises: NotTrainedError for a version that is missing or damaged; DataError if another one serves by now.
    """
    read_card(settings, domain, name, version)
    folder = detector_folder(settings, domain, name)
    with FileLock(folder / f".{_CHAMPION}.lock", timeout=settings.lock_timeout_s):
        before = champion_version(settings, domain, name)
        if instead_of not in (None, before):
            raise DataError(
                f"version {version} of {name} was to serve in place of version {instead_of}, and by now version "
                f"{before} serves: nothing was changed; run `hdfs-pipeline retrain`, or roll back, again"
            )
        if before is not None and not (folder / _SERVED).exists():  # a model of an older release
            _remember(folder, Served(before, _now(), back=False))
        write_whole(folder / _CHAMPION, str(version))
        # After the pointer: if the process ends between the two, `rollback` still knows what served before.
        _remember(folder, Served(version, _now(), back, by, note))
    return before


def write_whole(path: Path, text: str) -> None:
    """Write a small file. A reader, also after a crash, finds the old file or this one, whole."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class Served(NamedTuple):
    """A version that began to serve: when (ISO 8601, UTC), whether it had served before, who wanted it and why."""

    version: int
    at: str = ""
    back: bool = False
    by: str = ""
    note: str = ""


def served_versions(settings: Settings, domain: str, name: str) -> list[Served]:
    """What has served of a detector's model, the oldest first."""
    return _served(detector_folder(settings, domain, name))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _remember(folder: Path, entry: Served) -> None:
    path = folder / _SERVED
    cut_off = path.exists() and not (path.read_bytes() or b"\n").endswith(b"\n")
    with path.open("a") as file:
        file.write("\n" * cut_off + json.dumps(entry._asdict()) + "\n")


def _served(folder: Path) -> list[Served]:
    """As `served_versions`; broken lines are skipped."""
    entries = []
    path = folder / _SERVED
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            entry = json.loads(line)
            at, by, note = (str(entry.get(name, "")) for name in ("at", "by", "note"))
            entries.append(Served(int(entry["version"]), at, bool(entry["back"]), by, note))
    return entries


def champion_version(settings: Settings, domain: str, name: str) -> int | None:
    """The version of a detector's model that serves, None if there is none."""
    try:
        return int((detector_folder(settings, domain, name) / _CHAMPION).read_text())
    except (OSError, ValueError):
        return None


def newest_version(settings: Settings, domain: str, name: str) -> int:
    """The version of a detector's model that was saved last, whether it serves or not; 0 if there is none."""
    return max(_versions(detector_folder(settings, domain, name)), default=0)


def saved_versions(settings: Settings, domain: str, name: str) -> list[int]:
    """The versions of a detector's model whose files are there, in no order."""
    return _versions(detector_folder(settings, domain, name))


def previous_version(settings: Settings, domain: str, name: str) -> int:
    """The version that served before the champion; versions that were rolled back do not count.

    Raises: NotTrainedError if none serves; DataError if none has served before.
    """
    serving = int(model_folder(settings, domain, name).name)
    folder = detector_folder(settings, domain, name)
    saved = set(_versions(folder))
    entries = [(entry.version, entry.back) for entry in _served(folder) if entry.version in saved]
    stack: list[int] = []
    for version, back in [*entries, (serving, True)]:
        if back and version in stack:
            stack = stack[: stack.index(version)]
        if stack[-1:] != [version]:
            stack.append(version)
    older = [version for version in _versions(folder) if version < serving]
    if len(stack) < 2 and not (older and not entries):  # models of older releases have no record of what served
        raise DataError(f"no version of {name} has served before version {serving}: name one with --to VERSION")
    return stack[-2] if len(stack) > 1 else max(older)


def read_card(settings: Settings, domain: str, name: str, version: int) -> Card:
    """The card of a version. Raises: NotTrainedError if a file of that version is missing or was changed."""
    folder = model_folder(settings, domain, name, version)
    advice = f"run `hdfs-pipeline train --detector {name}`"
    try:
        raw = json.loads((folder / "card.json").read_text())
        known = {field.name for field in fields(Card)} - (_OPTIONAL - set(raw))
        card = Card(**{field: raw[field] for field in known})
        card = replace(card, columns=tuple(card.columns), files=dict(card.files), threshold=float(card.threshold))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotTrainedError(f"{folder}: its card is missing or damaged ({error}); {advice}") from None
    if raw.get(_DIGEST, _card_digest(raw)) != _card_digest(raw):  # cards of older releases have none
        raise NotTrainedError(f"{folder}: its card is damaged: it is not the one that was saved; {advice}")
    if not math.isfinite(card.threshold):
        raise NotTrainedError(f"{folder}: its card is damaged: the threshold is {card.threshold}; {advice}")
    for file, digest in card.files.items():
        if not (folder / file).is_file() or _digest(folder / file) != digest:
            raise NotTrainedError(f"{folder / file}: missing, or not the file that was saved; {advice}")
    return card


def cards(settings: Settings, domain: str, name: str) -> list[Card]:
    """The cards of all versions of a detector's model that are whole, oldest first."""
    whole = []
    for version in sorted(_versions(detector_folder(settings, domain, name))):
        try:
            whole.append(read_card(settings, domain, name, version))
        except NotTrainedError:  # a damaged version is left out
            continue
    return whole


def marked_items(settings: Settings, domain: str, name: str, version: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Marks (n,) uint64 of the items that a version learned from, and of those that it was judged on; both sorted.

    None for a model of an older release, which kept no marks.
    """
    from safetensors.numpy import load_file

    path = model_folder(settings, domain, name, version) / _LEARNED
    if not path.exists():
        return None
    with reading(name, path):
        marks = load_file(path)
        return marks["learned"], marks["judged"]


def known_feedback(settings: Settings, domain: str, name: str, version: int) -> dict[Any, int]:
    """The words of people when a version was trained: label by the item's key."""
    from safetensors import safe_open

    path = model_folder(settings, domain, name, version) / _LEARNED
    if not path.exists():
        return {}
    with reading(name, path), safe_open(path, "numpy") as file:
        if "feedback" in (file.metadata() or {}):
            return dict(json.loads(file.metadata()["feedback"]))
        return dict(file.get_tensor("verdicts").tolist()) if "verdicts" in file.keys() else {}  # noqa: SIM118


def copy_models(settings: Settings, home: Path) -> None:
    """Copy the models of a home, with the catalogues of templates that they know, into the folder of another."""
    shutil.copytree(settings.models, home / "models")
    for catalogues in (settings.catalogues, settings.app_catalogues):
        if catalogues.is_dir():
            shutil.copytree(catalogues, home / catalogues.name)


def model_folder(settings: Settings, domain: str, name: str, version: int | None = None) -> Path:
    """Folder of a version of a detector's model, of the champion by default. Raises: NotTrainedError."""
    if version is None:
        version = champion_version(settings, domain, name)
        if version is None:
            raise NotTrainedError(
                f"no {name} model in {settings.home}: run `hdfs-pipeline train --detector {name}`"
            ) from None
    return detector_folder(settings, domain, name) / f"{version:04d}"


def load_model(cls: type[Detector], settings: Settings, domain: str, version: int | None = None) -> Scorer:
    """Load a version of a detector's model, the champion by default.

    Raises: NotTrainedError if there is none, or if a file is missing or not the one that was saved.
    """
    from safetensors.numpy import load_file

    folder = model_folder(settings, domain, cls.name, version)
    card = read_card(settings, domain, cls.name, int(folder.name))
    vectors = dict.fromkeys(("normals", "seen"), np.zeros((0, len(card.columns)), np.float32))
    if not cls.ordered:
        with reading(cls.name, folder / _VECTORS):
            vectors = load_file(folder / _VECTORS)
    ruled, ruled_labels = vectors.get("told"), vectors.get("told_labels")
    detector = cls.load(folder)
    if detector.ordered and not detector.params:  # a file of an older release has neither these nor the seed
        detector.params, detector.seed = dict(card.params), card.seed
    return Scorer(detector, card, vectors["normals"], vectors["seen"], ruled=ruled, ruled_labels=ruled_labels)


def try_out(scorer: Scorer, vocabulary: Vocabulary) -> None:
    """Let a model of rows score and explain some that it has learned, as it would where it serves.

    One that takes any columns has learned none, and is not tried.
    Raises: NotTrainedError for one that cannot, or whose scores are no numbers.
    """
    if scorer.detector.any_columns:
        return
    card = scorer.card
    advice = f"run `hdfs-pipeline train --detector {card.detector}`"
    rows = scorer.seen[:_TRIED] if len(scorer.seen) else np.zeros((1, len(card.columns)), np.float32)
    try:
        matrix = FeatureMatrix(rows, np.arange(len(rows)), card.columns, card.source, card.source_fingerprint)
        scores = scorer.score(matrix)
        told = scorer.explain(matrix, vocabulary, np.arange(len(rows))[:1])
    except Exception as error:
        raise NotTrainedError(
            f"{card.detector} version {card.version} cannot score or explain what it has learned ({error}); {advice}"
        ) from error
    if scores.shape != (len(rows),) or not np.isfinite(scores).all() or len(told) != 1:
        raise NotTrainedError(
            f"{card.detector} version {card.version} gives scores that are no numbers for what it has learned; {advice}"
        )


def read_choice(settings: Settings, domain: str) -> dict[str, Any] | None:
    """The latest choice between the detectors of a domain, as `keep_choice` wrote it; None before the first."""
    try:
        choice = json.loads((domain_folder(settings, domain) / _CHOICE).read_text())
    except (OSError, ValueError):
        return None
    return choice if isinstance(choice, dict) and isinstance(choice.get("detector"), str) else None


def keep_choice(settings: Settings, domain: str, choice: dict[str, Any]) -> None:
    """Write a choice between detectors (`detector` and whatever led to it); readers find the old one or this one."""
    folder = domain_folder(settings, domain)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _CHOICE, json.dumps(choice, indent=1))


def trained_detectors(settings: Settings, domain: str) -> list[str]:
    """Names of the detectors that have a champion in this domain."""
    return sorted(path.parent.name for path in domain_folder(settings, domain).glob(f"*/{_CHAMPION}"))


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []


def _card_digest(raw: dict[str, Any]) -> str:
    """SHA-256 of a card's values, without the digest itself."""
    values = {name: value for name, value in raw.items() if name != _DIGEST}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
