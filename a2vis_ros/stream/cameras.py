"""Which cameras a node serves, and under which names."""

import re
from dataclasses import dataclass

from ..programs.parameter_table import ParameterError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Camera:
    """One camera of a node."""

    name: str
    """Namespace of everything that belongs to it; empty for the only camera, whose topics are the node's own."""
    image: str
    """Topic of its images, without a transport's suffix."""

    def place(self, node_name: str, topic: str) -> str:
        """Return where a private topic or service of the node, such as ~/tracks, is for this camera.

        The names are those of a node of the same name in the camera's namespace, so that who listens need not know
        whether cameras share a node.
        """
        return f"{self.name}/{node_name}{topic[1:]}" if self.name else topic


THE_ONLY = Camera("", "image")
"""Camera of a node that is given no names."""


def read_cameras(names: str, images: str) -> tuple[Camera, ...]:
    """Return the cameras of the parameters `cameras` and `images`; a relative topic is in its camera's namespace.

    Raises:
        ParameterError: they do not fit each other, or a name cannot be part of a topic's.
    """
    found, topics = names.split(), images.split()
    for name in found:
        if not _NAME.fullmatch(name):
            raise ParameterError(f"cameras={names!r}: {name!r} cannot be a namespace; use letters, digits and _")
    if topics and len(topics) != len(found):
        raise ParameterError(
            f"images={images!r} are {len(topics)} topics for the {len(found)} of cameras={names!r}; give one for each, "
            "in the same order, or none for <camera>/image"
        )
    if not found:
        return (THE_ONLY,)
    topics = topics or [THE_ONLY.image] * len(found)
    topics = [topic if topic.startswith("/") else f"{name}/{topic}" for name, topic in zip(found, topics, strict=True)]
    for parameter, values in (("cameras", found), ("images", topics)):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ParameterError(f"{parameter} names {twice!r} twice; each camera needs one of its own")
    return tuple(map(Camera, found, topics))
