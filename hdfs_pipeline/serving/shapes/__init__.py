"""The JSON of the API, as its OpenAPI document describes it. Times are ISO 8601, UTC, with their zone."""
