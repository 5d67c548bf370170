"""The item of this domain: one message of an application or a service."""

from typing import Final

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.domains.record_ids import parsed_as, shown_as

DOMAIN: Final = "applogs"
PREFIX: Final = "msg-"
MESSAGE: Final = Item(
    "message",
    "messages",
    "message_id",
    f"{PREFIX}00c0ffee00c0ffee",
    parsed_as(PREFIX, "message"),
    shown_as(PREFIX),
    "the same traits",
)
