"""The REST API and the pages: one process beside Dagster that shows what `verdicts` knows, and takes people's words."""
