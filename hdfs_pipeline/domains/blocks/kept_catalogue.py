"""The catalogue that a home counts by, kept in ``<home>/catalogue``: all its workers count alike, also after a restart.

Whoever reads log files into the store writes it too, since files have more records to choose by than a
stream has at first: workers then follow.
"""

from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.scoring.models import write_whole
from hdfs_pipeline.settings import Settings

_NAME: Final = "catalogue"


def kept_label(settings: Settings) -> str:
    """The label of the catalogue that the home counts by; '' where none is kept yet."""
    try:
        return _path(settings).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{_path(settings)} cannot be read ({error}): delete it, and it is made anew") from None


def keep_label(settings: Settings, label: str) -> None:
    """Let the home count by a catalogue from now on."""
    if kept_label(settings) != label:
        write_whole(_path(settings), label)


def keep_first(settings: Settings, label: str) -> str:
    """Let the home count by a catalogue unless it has one; the one that it counts by then. Raises: SetupError."""
    path = _path(settings)
    try:
        with FileLock(path.with_name(f"{_NAME}.lock"), timeout=settings.lock_timeout_s):
            if not (kept := kept_label(settings)):
                write_whole(path, label)
            return kept or label
    except (OSError, Timeout) as error:
        raise SetupError(
            f"the events are those of {label}, and {path} cannot be written ({error}): "
            f"set HDFS_PIPELINE_CATALOGUE={label}"
        ) from None


def _path(settings: Settings) -> Path:
    return settings.home / _NAME
