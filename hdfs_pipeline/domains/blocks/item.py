"""The item of this domain: a block, and how its id is read and shown."""

import re
from typing import Final

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.errors import UsageError


def parse_block_id(text: str) -> int:
    """The number of a block id, written with or without ``blk_``; of an internal block its group's.

    Raises: DataError.
    """
    match = re.fullmatch(r"\s*(?:blk_)?(-?\d{1,19})(?:_\d+)?\s*", text)
    if not match or not -(2**63) <= int(match[1]) < 2**63:
        raise UsageError(f"{text!r} is no block id; one looks like blk_1073741825")
    return group_of(int(match[1]))


def group_of(block_id: int) -> int:
    """The group of an internal block of an erasure-coded group, by the low four bits; any other id as it is."""
    return block_id - (block_id & 15) if block_id < -(2**63) + 2**36 else block_id


def show_block_id(block_id: int) -> str:
    """A block id as Hadoop writes it."""
    return f"blk_{block_id}"


BLOCK: Final = Item("block", "blocks", "block_id", "blk_1073741825", parse_block_id, show_block_id, "the same events")
