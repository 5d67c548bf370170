"""Block logs in Dagster: from log files to the event matrix, and the learning chain that every domain has."""
