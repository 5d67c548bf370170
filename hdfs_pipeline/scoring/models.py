"""Saved models: ``models/<detector>/<version>/`` holds the model, the vectors it learned from, its card; no pickle."""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings

_CHAMPION = "champion"  # a file that holds the version which serves, beside the versions' folders
_VECTORS = "vectors.safetensors"


def save_model(scorer: Scorer, settings: Settings) -> Scorer:
    """Write the next version of a model and make it the champion; the scorer with its card completed.

    The folder appears whole or not at all.
    """
    from safetensors.numpy import save_file

    folder = settings.models / scorer.card.detector
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=folder))
    try:
        scorer.detector.save(staging)
        vectors = {"normals": scorer.normals, "seen": scorer.seen}
        # safetensors writes the bytes as they lie: an array that is not in C order would come back with others.
        save_file({name: np.ascontiguousarray(rows) for name, rows in vectors.items()}, staging / _VECTORS)
        files = {path.name: _digest(path) for path in sorted(staging.iterdir())}
        staging.chmod(0o755)
        for path in staging.iterdir():  # safetensors writes for its owner only
            path.chmod(0o644)
        card = _publish(replace(scorer.card, files=files), staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    pointer = folder / f".{_CHAMPION}.{os.getpid()}"
    pointer.write_text(str(card.version))
    pointer.replace(folder / _CHAMPION)
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


def model_folder(settings: Settings, name: str, version: int | None = None) -> Path:
    """Folder of a version of a detector's model, of the champion by default. Raises: NotTrainedError."""
    folder = settings.models / name
    if version is None:
        try:
            version = int((folder / _CHAMPION).read_text())
        except (OSError, ValueError):
            raise NotTrainedError(
                f"no {name} model in {settings.home}: run `hdfs-pipeline train --detector {name}`"
            ) from None
    return folder / f"{version:04d}"


def load_model(cls: type[Detector], settings: Settings, version: int | None = None) -> Scorer:
    """Load a version of a detector's model, the champion by default.

    Raises: NotTrainedError where there is none, or where a file is missing or not the one that was saved.
    """
    from safetensors.numpy import load_file

    folder = model_folder(settings, cls.name, version)
    again = f"run `hdfs-pipeline train --detector {cls.name}`"
    try:
        raw = json.loads((folder / "card.json").read_text())
        card = Card(**{field.name: raw[field.name] for field in fields(Card)})
        card = replace(card, columns=tuple(card.columns), files=dict(card.files), threshold=float(card.threshold))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotTrainedError(f"{folder}: its card is missing or damaged ({error}); {again}") from None
    for name, digest in card.files.items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            raise NotTrainedError(f"{folder / name}: missing, or not the file that was saved; {again}")
    with reading(cls.name, folder / _VECTORS):
        vectors = load_file(folder / _VECTORS)
        normals, seen = vectors["normals"], vectors["seen"]
    return Scorer(cls.load(folder), card, normals, seen)


def trained_detectors(settings: Settings) -> list[str]:
    """Names of the detectors that have a champion in this home."""
    return sorted(path.parent.name for path in settings.models.glob(f"*/{_CHAMPION}"))


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
