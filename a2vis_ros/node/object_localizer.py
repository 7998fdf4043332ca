"""`object_localizer`: the lifecycle node from tracks in the image to objects in space; imports no torch."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rclpy.node import Node

from ..programs.parameter_table import ParameterError
from ..programs.spinning import begin, spin
from ..space.localizer import LocalizerSettings
from ..space.parameters import PARAMETERS, check_values, localizer_settings
from ..space.transforms import TransformSource
from .localizer_stream import LocalizerStream
from .managed_node import ManagedNode
from .tf2_transforms import Tf2Transforms

TransformMaker = Callable[[Node], TransformSource | None]


def listen_to_tf(node: Node) -> TransformSource | None:
    """tf2 where it is installed."""
    return Tf2Transforms(node) if Tf2Transforms.available() else None


class ObjectLocalizer(ManagedNode[LocalizerStream]):
    """Tracks, camera_info and depth in, objects in space out.

    Args:
        transforms: makes the source of transforms where one is needed; another one serves tests.
    """

    def __init__(self, transforms: TransformMaker = listen_to_tf, **node_arguments: Any) -> None:
        self._make_transforms = transforms
        self._transforms: TransformSource | None = None
        super().__init__("object_localizer", PARAMETERS, **node_arguments)

    def _configure(self) -> None:
        values = self._values()
        check_values(values)
        settings = localizer_settings(values)
        if settings.fixed_frame or settings.ground_frame:
            self._transforms = self._make_transforms(self)
            if self._transforms is None:
                raise ParameterError(
                    f"fixed_frame={values['fixed_frame']!r} and ground_frame={values['ground_frame']!r} need tf2_ros, "
                    "which is not installed; install ROS 2's tf2_ros_py, or leave both empty and set camera_height_m"
                )
        self._streams.append(LocalizerStream(self, values, settings, self._transforms))
        self._say_what_is_missing(settings, values)
        self._warn_of_misspelt_parameters()

    def _say_what_is_missing(self, settings: LocalizerSettings, values: Mapping[str, Any]) -> None:
        if settings.ground_frame or settings.mounting:
            return
        if values["depth"] == "none":
            self.get_logger().warning(
                "there is neither depth nor a ground plane, so no object can be placed; set depth, fixed_frame or "
                "camera_height_m"
            )
            return
        fixed = f" (beside depth, z = 0 of fixed_frame={settings.fixed_frame!r} is not)" if settings.fixed_frame else ""
        self.get_logger().info(
            f"nothing is taken for the ground{fixed}: an object is placed where depth shows it, and not in a hole; set "
            "ground_frame or camera_height_m if the ground there is level"
        )

    def _release(self) -> None:
        if isinstance(self._transforms, Tf2Transforms):
            self._transforms.close()
        self._transforms = None

    def _change(self, changes: Mapping[str, Any]) -> None:
        if self._streams and changes:
            name = min(changes)
            raise ParameterError(f"{name} is read when the node is configured; deactivate and clean it up first")
        for parameter in PARAMETERS:
            if parameter.name in changes:
                parameter.check(changes[parameter.name])


def run(transforms: TransformMaker = listen_to_tf, arguments: Sequence[str] | None = None) -> int:
    """Run a node with this source of transforms until it is told to stop; returns the exit status."""
    make = partial(ObjectLocalizer, transforms)
    node = begin("object_localizer", make, arguments, "see config/object_localizer.yaml")
    if node is None:
        return 2
    spin(node, node.close)
    return 0


def main() -> int:
    """The program `object_localizer`."""
    return run()


if __name__ == "__main__":
    sys.exit(main())
