"""How old data may become before Dagster's page says so."""

from datetime import timedelta
from typing import Final

import dagster as dg

DAILY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=2), warn_window=timedelta(days=1))
"""For a cluster's logs and what is made from them: on a day without a record something is wrong."""

LIVE: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=30), warn_window=timedelta(minutes=10))
"""For data that is polled every few seconds and scored every few minutes."""
