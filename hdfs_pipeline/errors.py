"""The errors a person can meet. Each message says what is wrong, where, and what to do next."""


class PipelineError(Exception):
    """Base of every error that is for the user's eyes: shown without a traceback, exit code 2."""

    exit_code = 2


class SetupError(PipelineError):
    """The machine, a setting or the store is not ready (locked, read-only, full, of a newer version)."""

    exit_code = 3


class DataError(PipelineError):
    """What was given to read or learn from cannot be used (no such file, no labels, other columns)."""

    exit_code = 4


class NotTrainedError(PipelineError):
    """A model was asked for that has not been trained in this home, or whose files are damaged."""

    exit_code = 5
