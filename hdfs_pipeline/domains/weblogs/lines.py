"""What reading files and a topic ask of this domain: bytes to rows of `requests`."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from hdfs_pipeline.domains.lines import Lines
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.domains.weblogs.item import DOMAIN

if TYPE_CHECKING:
    from hdfs_pipeline.domains.weblogs.records import AccessFormat

_USUAL_NAMES: Final = re.compile(
    r"[\W_]*(access|other_vhosts|ssl|request|web|http|log|txt|json|gz|zst|bz2|xz|\d)[\W_]*"
)


class AccessLines(Lines):
    """Access logs of web servers. Raises: SetupError for a setting that cannot be used."""

    domain = DOMAIN
    table = "requests"
    key = "request_id"
    text = "line"
    default_service = "web"

    @cached_property
    def _format(self) -> "AccessFormat":
        from hdfs_pipeline.domains.weblogs.records import AccessFormat  # compiled code, which readers do without

        return AccessFormat.of(self.settings)

    def split(self, chunks: Iterable[bytes], tally: Tally, file: Path) -> Iterator[pa.RecordBatch]:
        """See `Lines.split`: a file's name says the service of lines without a virtual host."""
        from hdfs_pipeline.domains.weblogs.records import split_records

        return split_records(chunks, self._format, tally, service_of(file.name) or self.default_service)

    def messages(self, values: Sequence[bytes], services: Sequence[str]) -> pa.RecordBatch:
        """See `Lines.messages`."""
        from hdfs_pipeline.domains.weblogs.records import read_messages

        return read_messages(values, self._format, services)


def service_of(name: str) -> str:
    """The service that a file's name tells, such as shop of `shop-access.log.1.gz`; '' for a usual name."""
    return _USUAL_NAMES.sub(" ", name.lower()).strip().replace(" ", "-")
