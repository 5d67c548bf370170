"""The catalogues of the messages that name a block: the shipped ones, and those learned in a home."""

from collections.abc import Iterable
from pathlib import Path

from hdfs_pipeline.scoring.catalogue import Catalogue, read_catalogue

SHIPPED = Path(__file__).parent / "catalogues"
STAGES = ("allocate", "receive", "received", "store", "replicate", "recover", "read", "verify", "delete")
"""Stages of a block's life. `receive` begins a replica, `received` ends it, `store` tells the NameNode of it."""


def catalogues(home_folder: Path | None = None) -> dict[str, Catalogue]:
    """All catalogues by label: the shipped ones, then those learned in a home (`Settings.catalogues`)."""
    paths: Iterable[Path] = sorted(SHIPPED.glob("*.csv"))
    if home_folder is not None and home_folder.is_dir():
        paths = [*paths, *sorted(home_folder.glob("*.csv"))]
    loaded = [read_catalogue(path, STAGES) for path in paths]
    return {catalogue.label: catalogue for catalogue in loaded}
