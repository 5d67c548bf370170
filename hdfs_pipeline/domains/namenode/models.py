"""Saved NameNode models: ``models/namenode_<detector>/<version>/`` holds tensors and a card; no pickle.

All detectors of one training have the same version. ``champion.json`` beside the versions names the one that serves,
and those that served before it.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock

from hdfs_pipeline.domains.namenode.detectors import Detector, Deviation, PcaResidual
from hdfs_pipeline.domains.namenode.lstm import LstmAutoencoder
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.models import write_whole
from hdfs_pipeline.settings import Settings

DETECTORS: Final[dict[str, type[Detector]]] = {each.name: each for each in (LstmAutoencoder, PcaResidual, Deviation)}
"""The detectors that learn, in the order they are shown."""

_POINTER = "champion.json"
_TENSORS = "model.safetensors"
_TRAIN = "run `hdfs-pipeline namenode train`"


@dataclass(frozen=True)
class Card:
    """What a model is, where it comes from and what it learned from. Times are ISO 8601, UTC."""

    detector: str
    version: int
    namenode: str
    role: str
    columns: tuple[str, ...]
    threshold: float
    rule: str
    params: dict[str, Any]
    seed: int
    trained_from: str
    trained_to: str
    steps: int
    left_out: list[dict[str, str]]
    findings: list[dict[str, Any]]
    facts: dict[str, Any]
    users: dict[str, dict[str, float]]
    fingerprint: str
    libraries: dict[str, str]
    seconds: float
    created_at: str
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a dict."""
        return asdict(self)


@dataclass(frozen=True)
class Model:
    """A trained detector with its card."""

    detector: Detector
    card: Card


def folder_of(settings: Settings, name: str) -> Path:
    """Folder of all versions of a detector's model."""
    return settings.models / f"namenode_{name}"


def next_version(settings: Settings) -> int:
    """The version of the next training."""
    return max((version for name in DETECTORS for version in versions(settings, name)), default=0) + 1


def versions(settings: Settings, name: str) -> list[int]:
    """The versions of a detector's model that are there, oldest first."""
    folder = folder_of(settings, name)
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def save(settings: Settings, models: Mapping[str, Model]) -> None:
    """Write the models of one training and make them serve. Each folder appears whole or not at all."""
    for name, model in models.items():
        _save(folder_of(settings, name), model)
    for name, model in models.items():
        with _turn(settings, name):
            before = [] if (now := _pointer(settings, name)) is None else [*now["before"], now["version"]]
            _point(settings, name, model.card.version, before)


def _save(folder: Path, model: Model) -> None:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=folder))
    try:
        tensors = {name: np.ascontiguousarray(value) for name, value in model.detector.tensors().items()}
        save_file(tensors, staging / _TENSORS)
        card = model.card.to_json() | {"files": {_TENSORS: _digest(staging / _TENSORS)}}
        (staging / "card.json").write_text(json.dumps(card, indent=1))
        staging.chmod(0o755)
        for path in staging.iterdir():  # safetensors writes for its owner only
            path.chmod(0o644)
        staging.rename(folder / f"{model.card.version:04d}")
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def load(settings: Settings, name: str, version: int | None = None) -> Model:
    """A version of a detector's model, the one that serves by default.

    Raises: NotTrainedError where there is none, or where a file is missing or not the one that was saved.
    """
    from safetensors.numpy import load_file

    if version is None:
        version = serving(settings, name)
    if version is None:
        raise NotTrainedError(f"no NameNode model in {settings.home}: {_TRAIN}")
    folder = folder_of(settings, name) / f"{version:04d}"
    try:
        raw = json.loads((folder / "card.json").read_text())
        card = Card(**{each.name: raw[each.name] for each in fields(Card)} | {"columns": tuple(raw["columns"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotTrainedError(f"{folder}: its card is missing or damaged ({error}); {_TRAIN}") from None
    for file, digest in card.files.items():
        if not (folder / file).is_file() or _digest(folder / file) != digest:
            raise NotTrainedError(f"{folder / file}: missing, or not the file that was saved; {_TRAIN}")
    try:
        detector = DETECTORS[name].of(load_file(folder / _TENSORS), card.params)
    except (KeyError, ValueError) as error:
        raise NotTrainedError(f"{folder}: not a model of this release ({error}); {_TRAIN}") from None
    return Model(detector, card)


def serving(settings: Settings, name: str = LstmAutoencoder.name) -> int | None:
    """The version that serves, None where there is none."""
    found = _pointer(settings, name)
    return None if found is None else int(found["version"])


def roll_back(settings: Settings) -> tuple[int, int]:
    """Let the version serve again that served before: the version that did, the one that does now.

    Raises: NotTrainedError where none serves; DataError where none served before.
    """
    now = _pointer(settings, LstmAutoencoder.name)
    if now is None:
        raise NotTrainedError(f"no NameNode model in {settings.home}: {_TRAIN}")
    if not now["before"]:
        raise DataError(f"no NameNode model has served before version {now['version']}: there is nothing to go back to")
    back = int(now["before"][-1])
    for name in DETECTORS:
        load(settings, name, back)  # before anything is changed
    for name in DETECTORS:
        with _turn(settings, name):
            _point(settings, name, back, now["before"][:-1])
    return int(now["version"]), back


def _turn(settings: Settings, name: str) -> FileLock:
    folder_of(settings, name).mkdir(parents=True, exist_ok=True)
    return FileLock(folder_of(settings, name) / ".champion.lock", timeout=settings.lock_timeout_s)


def _pointer(settings: Settings, name: str) -> dict[str, Any] | None:
    try:
        found = json.loads((folder_of(settings, name) / _POINTER).read_text())
        return {"version": int(found["version"]), "before": [int(each) for each in found["before"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _point(settings: Settings, name: str, version: int, before: list[int]) -> None:
    write_whole(folder_of(settings, name) / _POINTER, json.dumps({"version": version, "before": before}))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
