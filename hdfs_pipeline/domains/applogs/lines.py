"""What reading files and a topic ask of this domain: bytes to rows of `app_logs`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from hdfs_pipeline.domains.applogs.item import DOMAIN
from hdfs_pipeline.domains.applogs.naming import written_by
from hdfs_pipeline.domains.applogs.records import NAMELESS, MessageFormat, read_messages, split_records
from hdfs_pipeline.domains.applogs.templates import catalogue_of, with_templates
from hdfs_pipeline.domains.lines import Lines
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.settings import Settings


class AppLines(Lines):
    """Application logs; templates are those that the home had when this was made. Raises: SetupError, DataError."""

    domain = DOMAIN
    table = "app_logs"
    key = "message_id"
    text = "message"
    rest = ("more",)
    default_service = NAMELESS

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._format, self._catalogue = MessageFormat.of(settings), catalogue_of(settings)

    def split(self, chunks: Iterable[bytes], tally: Tally, file: Path) -> Iterator[pa.RecordBatch]:
        """See `Lines.split`: a file's name says which service wrote what says none."""
        for batch in split_records(chunks, self._format, tally, *written_by(file.name)):
            yield with_templates(batch, self._catalogue)

    def messages(self, values: Sequence[bytes], services: Sequence[str]) -> pa.RecordBatch:
        """See `Lines.messages`: each is one message, its continuation lines included."""
        return with_templates(read_messages(values, self._format, services), self._catalogue)
