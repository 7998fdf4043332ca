"""Python packages that only some commands need, and the extra of the pip package that contains each.

with optional_packages():
    import av
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import A2VISError

EXTRAS = {
    "av": "video",
    "PIL": "video",
    "simplejpeg": "video",
    "pycocotools": "video",
    "matplotlib": "eval",
    "trackeval": "eval",
    "tensorboard": "train",
    "supervision": "baselines",
    "trackers": "baselines",
    "openvino": "openvino",
    "nncf": "openvino",
    "ray": "ray",
    "filterpy": "ros",
    "rosbags": "ros",
}
"""Extra that contains a package, by the name under which Python imports it."""


class MissingPackageError(A2VISError, ModuleNotFoundError):
    """A package of an extra is not installed.

    Args:
        message: which package, and how to install it.
        name: name under which Python imports it.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def remedy(name: str) -> str | None:
    """Return the command that installs a module's package; None for a module that belongs to no extra."""
    extra = EXTRAS.get(name.partition(".")[0])
    return None if extra is None else f"pip install 'a2vis_ros[{extra}]'"


@contextmanager
def optional_packages() -> Iterator[None]:
    """Import packages of an extra in this context.

    Raises:
        MissingPackageError: one of them is not installed; the message says which, and how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        command = remedy(name)
        if command is None:
            raise
        raise MissingPackageError(f"the Python package {name} is not installed: {command}", name) from error
