"""Local times in UTC, by one rule that is DuckDB's too, also where a clock shows a time twice or never."""

from datetime import datetime, timedelta

import duckdb
import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.scan import NO_ZONE
from hdfs_pipeline_tests.domains.blocks.formats import log_format

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Asia/Tehran",
)


@pytest.mark.parametrize("zone", ZONES)
def test_every_time_of_years_is_what_duckdb_says(zone: str) -> None:
    """Every ten minutes."""
    begins = (datetime(2008, 1, 1), datetime(2024, 1, 1))  # noqa: DTZ001 - as daemons write them
    times = [begin + timedelta(minutes=10 * at) for begin in begins for at in range(366 * 144)]
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        found = con.execute("SELECT timezone(?, unnest(?::TIMESTAMP[]))", [zone, times]).fetchall()
    written = np.array(times, "datetime64[us]").astype(np.int64)
    utc = log_format(zone).utc(written, np.full(len(times), NO_ZONE))
    assert utc.astype("datetime64[us]").tolist() == [time.replace(tzinfo=None) for (time,) in found]
