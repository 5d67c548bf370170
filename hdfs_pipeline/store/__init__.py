"""The store: one DuckDB file, its tables, its errors in plain words, stream offsets that move with their rows."""
