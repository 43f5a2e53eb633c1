"""What can go wrong. A message says what was expected, what was found, where, and what to do."""


class DiffeoError(Exception):
    """Whatever diffeo raises."""


class ConfigError(DiffeoError, ValueError):
    """A parameter is outside its range, or contradicts another."""


class DataError(DiffeoError, ValueError):
    """The data hold something that cannot be used, or have the wrong shape."""


class ModelFileError(DiffeoError, ValueError):
    """A file is damaged, of another release, or no model."""


class LimitError(DiffeoError, MemoryError):
    """A stated limit would be exceeded."""


class IoError(DiffeoError, OSError):
    """The operating system refused to read or write."""


class NotFoundError(IoError, FileNotFoundError):
    """There is no such file."""


class TrainingError(DiffeoError, RuntimeError):
    """Training diverged, or a solution was not found."""


class InternalError(DiffeoError, RuntimeError):
    """A bug in diffeo; please report it."""


class DiffeoWarning(UserWarning):
    """Something about the data or the fit that makes its numbers doubtful."""
