"""Whether files could be read at all, before anything is said of what is in them."""

from hdfs_pipeline.domains.contract import Domain, Read
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.plausibility import Doubt
from hdfs_pipeline.store.store import Store

_FILES = """SELECT count(*) FILTER (letters >= records), count(*), sum(bytes) FILTER (letters >= records), sum(bytes)
    FROM (SELECT bytes, records, (SELECT count(*) FROM dead_letters d WHERE d.source_id = s.source_id) AS letters
        FROM sources s WHERE source_id > 0)"""


def unreadable(store: Store, domain: Domain, read: Read) -> list[Doubt]:
    """The share of what was read into `store` that could not be used, as a doubt; none if all could.

    Raises: DataError if no record could be read, or none belongs to an item.
    """
    why = f": {'; '.join(read.notes)}" if read.notes else ""
    good, noun = read.records - read.dead_letters, domain.item.noun
    if not read.records:
        raise DataError(f"there is nothing to read in these files{why or ': they are empty'}")
    if not good:
        raise DataError(
            f"not one record could be read, so nothing can be said of any {noun}{why}; are these logs, and in a layout "
            "that the documentation names?"
        )
    if not read.items:
        raise DataError(f"no record names a {noun} ({good:,} were read){why}")
    with store.read() as con:
        files, all_files, size, all_bytes = con.execute(_FILES).fetchall()[0]
    found = []
    if files:
        share = (size or 0) / max(all_bytes or 0, 1)
        text = f"{files:,} of {all_files:,} files ({share:.0%} of the bytes) gave no record{why}"
        found.append(Doubt("unreadable", share, 0.0, text))
    elif read.dead_letters:
        share = read.dead_letters / read.records
        text = f"{read.dead_letters:,} of {read.records:,} records ({share:.2%}) could not be read{why}"
        found.append(Doubt("unreadable", share, 0.0, text))
    return found
