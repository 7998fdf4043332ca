"""Errors of the package. Each message names the parameter or file, the value and the remedy."""

_LONGEST = 2000
LONGEST_NAME = 60
"""Most characters that are printed of the name of a class or system."""


def printable(text: str, longest: int = _LONGEST) -> str:
    """Make a text from outside safe for a log: one line, without control characters, and of limited length.

    Texts from messages and files may hold control characters that imitate log lines or control the terminal.
    """
    # The text is shortened first, too, so that a text of megabytes takes no time.
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: longest + 1])
    return plain if len(plain) <= longest else f"{plain[:longest]}..."


class A2VISError(ValueError):
    """Something that the user gave cannot be used. Its text is safe for a log (see `printable`)."""

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
