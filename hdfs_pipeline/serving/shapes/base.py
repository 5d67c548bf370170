"""The base of every shape."""

from typing import Final

from pydantic import BaseModel, ConfigDict

LONGEST: Final = 1 << 40
"""Characters, more than a request can have: pydantic looks for halves of them only in texts whose length it must know.
The OpenAPI document leaves it out."""


class Shape(BaseModel):
    r"""Base of all: an unknown field in a request is an error, not a silent nothing.

    So is a text with half a character, which JSON can name (`\ud800`), and no store, log or answer can hold.
    """

    model_config = ConfigDict(extra="forbid", str_max_length=LONGEST)
