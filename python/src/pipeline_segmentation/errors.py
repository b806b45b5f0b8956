"""The error for files that this package can't read."""


class FormatError(ValueError):
    """A file isn't what it should be, or a newer program wrote it."""
