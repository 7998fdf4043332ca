"""Errors of the package. Each message names the parameter or file, the value and the remedy."""

_LONGEST = 2000


def printable(text: str, longest: int = _LONGEST) -> str:
    """A text that may hold file names and what messages and files say, fit for a log: one line, without control
    characters, which could pass for lines of the log or steer the terminal, and cut.
    """
    # Cut before, too: of a text of megabytes nobody shall wait for the rest.
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: longest + 1])
    return plain if len(plain) <= longest else f"{plain[:longest]}..."


class A2VISError(ValueError):
    """Something the user gave cannot be used. Its text is fit for a log, see `printable`."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(A2VISError):
    """A preset, variant or configuration value is unusable."""


class CheckpointError(A2VISError):
    """A weight file is missing, broken, foreign or does not fit."""


class VideoError(A2VISError):
    """A video, image or folder of frames cannot be read."""


class BackendError(A2VISError):
    """A backend or precision cannot be had here, or an engine is refused."""


class RecordError(ValueError):
    """Says what is wrong with a record of a file; whoever knows the file and the record's name adds them."""
