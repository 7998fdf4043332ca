"""Python packages that only some commands need, and the extra of the pip package that brings each. Needs Python alone.

with optional_packages():
    import av
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import A2VISError

EXTRAS = {
    "av": "video",
    "PIL": "video",
    "pycocotools": "video",
    "matplotlib": "eval",
    "trackeval": "eval",
    "tensorboard": "train",
    "supervision": "baselines",
    "trackers": "baselines",
    "rosbags": "ros",
}
"""The extra that brings a package, by the name under which Python imports it."""


class MissingPackageError(A2VISError, ModuleNotFoundError):
    """A package of an extra is not installed.

    Args:
        message: which one, and how it is installed.
        name: under which Python imports it.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def remedy(name: str) -> str | None:
    """The command that installs a module's package; None for a module that belongs to no extra."""
    extra = EXTRAS.get(name.partition(".")[0])
    return None if extra is None else f"pip install 'a2vis_ros[{extra}]'"


@contextmanager
def optional_packages() -> Iterator[None]:
    """Import packages of an extra in this context.

    Raises:
        MissingPackageError: one of them is not installed; the message says which, and how it is installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        command = remedy(name)
        if command is None:
            raise
        raise MissingPackageError(f"the Python package {name} is not installed: {command}", name) from error
