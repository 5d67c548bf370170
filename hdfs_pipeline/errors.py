"""The errors a person can meet. Each message says what is wrong, where, and what to do next."""

from collections.abc import Iterable
from difflib import get_close_matches


class PipelineError(Exception):
    """Base of every error that is for the user's eyes: shown without a traceback, exit code 2."""

    exit_code = 2


class SetupError(PipelineError):
    """The machine, a setting or the store is not ready (locked, read-only, full, of a newer version)."""

    exit_code = 3


class DataError(PipelineError):
    """What was given to read or learn from cannot be used (no such file, no labels, other columns)."""

    exit_code = 4


class NotFoundError(DataError):
    """What was asked for by its id or name is not there (no such item, incident, model, file of a trace)."""


class UsageError(DataError):
    """A command was given a word that means nothing there: no such detector, split, table, verdict, time."""

    exit_code = 2


class ConflictError(UsageError):
    """What was asked for was done already, and is to be done once."""


class NotTrainedError(PipelineError):
    """A model was asked for that has not been trained in this home, or whose files are damaged."""

    exit_code = 5


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message of an unknown name: the near one where there is one, else all that there are."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"no {what} {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}")
