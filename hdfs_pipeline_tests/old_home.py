"""The committed home of schema 3, made by the last release that had one: see golden/README.md."""

import tarfile
from pathlib import Path

import zstandard

PACKED = Path(__file__).with_name("golden") / "home_schema3.tar.zst"


def unpack(folder: Path) -> Path:
    """Unpack it below a folder; where it lies then."""
    with (
        PACKED.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        archive.extractall(folder, filter="data")
    return folder / "old_home"
