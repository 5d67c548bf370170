"""Which home a command works in: one that reads asks for a home that is there; one that writes may make it."""

from difflib import get_close_matches
from pathlib import Path

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings, load_settings


def existing_home() -> Settings:
    """The settings of a home that is there: a mistyped folder is not an empty home.

    Raises: SetupError that names the near folder, or says how a home comes to be.
    """
    settings = load_settings()
    if not _is_home(settings):
        near = _near(settings.home)
        advice = f"did you mean {near}?" if near else f"`hdfs-pipeline --home {settings.home} ingest PATH` makes one"
        raise SetupError(f"there is no home at {settings.home} yet: {advice}")
    return settings


def _is_home(settings: Settings) -> bool:
    known = (
        "hdfs.duckdb",
        "settings.toml",
        "models",
        "catalogue",
        "catalogues",
        "broker",
        "incoming",
        "mlflow.db",
        "scored",
    )
    return any((settings.home / name).exists() for name in known)


def _near(home: Path) -> Path | None:
    """The folder with the nearest name to what is missing of the path of a home."""
    missing = home.absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        names = [folder.name for folder in missing.parent.iterdir() if folder.is_dir()]
    except OSError:  # a folder that may not be listed
        return None
    rest = home.absolute().relative_to(missing)
    found = (missing.parent / name / rest for name in get_close_matches(missing.name, names))
    return next((folder for folder in found if folder.is_dir() and folder != home.absolute()), None)
