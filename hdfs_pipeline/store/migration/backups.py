"""What a migration leaves beside a home: its old store and its old models, under names that nothing overwrites."""

from pathlib import Path


def free_name(path: Path, version: int) -> Path:
    """A path beside `path` for its copy, which has schema `version`; nothing lies there yet."""
    backup = path.with_name(f"{path.name}.schema{version}.backup")
    number = 1
    while backup.exists():
        number += 1
        backup = path.with_name(f"{path.name}.schema{version}.backup.{number}")
    return backup
