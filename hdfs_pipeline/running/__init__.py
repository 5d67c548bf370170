"""What starts the whole: `up`, the first run of a new home, Dagster from the command line."""
