"""The base of every shape."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Base of all: an unknown field in a request is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid")
