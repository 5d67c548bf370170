"""The item of this domain: a block, and how its id is read and shown."""

import re
from typing import Final

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.errors import DataError


def parse_block_id(text: str) -> int:
    """The number of a block id, written with or without ``blk_``. Raises: DataError."""
    match = re.fullmatch(r"\s*(?:blk_)?(-?\d{1,19})(?:_\d+)?\s*", text)
    if not match or not -(2**63) <= int(match[1]) < 2**63:
        raise DataError(f"{text!r} is no block id; one looks like blk_1073741825")
    return int(match[1])


def show_block_id(block_id: int) -> str:
    """A block id as Hadoop writes it."""
    return f"blk_{block_id}"


BLOCK: Final = Item("block", "blocks", "block_id", "blk_1073741825", parse_block_id, show_block_id, "the same events")
