"""Truth in space of a clip while it is rendered: the cameras, the depth and the poses of things, frame by frame.

The generator's own axes (x to the left, y up, z ahead) become those of `data.space_truth` here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..data.space_truth import FARTHEST, CameraTrack, SpaceTruth, ThingTrack
from .camera import Array, Camera, vector
from .clip import RenderedObject

_TO_WORLD = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float64)
"""Convert vectors from the generator's axes (left, up, ahead) to (ahead, left, up)."""
_MOMENT = 1 / 60
"""Seconds before and after a frame between which velocity is measured."""


@dataclass(frozen=True)
class ThingPose:
    """A thing at a moment, in the generator's axes.

    `foot` [3] is on the ground, `velocity` [3] in m/s, `size` (length, width, height) that of the box that holds it and
    has its `middle` [3] there, `elevation` that of its lowest point in metres, `yaw` from z towards x in radians, NaN
    for what faces the camera.
    """

    foot: Array
    middle: Array
    velocity: Array
    size: tuple[float, float, float]
    elevation: float
    yaw: float


class _Moment(NamedTuple):
    """A frame: scene time in seconds, camera, depth `[H, W]` in millimetres and poses by the ids of things."""

    time: float
    camera: Camera
    depth: NDArray[np.uint16]
    poses: Mapping[int, ThingPose]


@dataclass
class SpaceRecorder:
    """Collects what is true in space of each frame."""

    fps: int
    _moments: list[_Moment] = field(default_factory=list)

    def add(self, time: float, camera: Camera, depth: Array, poses: Mapping[int, ThingPose]) -> None:
        """Add a frame of scene time `time` in seconds.

        It has `depth` [H, W] in metres, 0 where unknown, and the poses of all things by their IDs.
        """
        self._moments.append(_Moment(time, camera, millimetres(depth), poses))

    def repeat(self) -> None:
        """Add the last frame once more."""
        self._moments.append(self._moments[-1])

    def depth(self) -> NDArray[np.uint16]:
        """Millimetres along the optical axis, `[T, H, W]`."""
        return np.stack([moment.depth for moment in self._moments])

    def truth(self, objects: Sequence[RenderedObject]) -> SpaceTruth:
        """Return the truth in space of the video that shows these objects, all of which have been given poses."""
        cameras = [moment.camera for moment in self._moments]
        first = cameras[0]
        turns = np.stack([_TO_WORLD @ camera.rotation.T for camera in cameras])
        return SpaceTruth(
            height=first.height,
            width=first.width,
            stamps=np.array(driver_stamps([moment.time for moment in self._moments], self.fps)),
            camera=CameraTrack(
                focal=np.array([camera.focal for camera in cameras], np.float64),
                centre=(float(first.centre[0]), float(first.centre[1])),
                position=_in_world([camera.position for camera in cameras]),
                orientation=Rotation.from_matrix(turns).as_quat(),
            ),
            things=tuple(self._thing(rendered) for rendered in objects),
        )

    def _thing(self, rendered: RenderedObject) -> ThingTrack:
        poses = [moment.poses[rendered.id] for moment in self._moments]
        amodal = rendered.amodal
        areas = rendered.amodal_areas
        border = (amodal[:, 0].any(1), amodal[:, -1].any(1), amodal[:, :, 0].any(1), amodal[:, :, -1].any(1))
        depths = [m.camera.to_camera(pose.foot)[2] for m, pose in zip(self._moments, poses, strict=True)]
        return ThingTrack(
            id=rendered.id,
            class_name=rendered.class_name,
            position=_in_world([pose.foot for pose in poses]),
            middle=_in_world([pose.middle for pose in poses]),
            elevation=np.array([pose.elevation for pose in poses], np.float64),
            yaw=np.array([pose.yaw for pose in poses], np.float64),
            velocity=_in_world([pose.velocity for pose in poses]),
            size=np.array([pose.size for pose in poses], np.float64),
            distance=np.array(depths, np.float64),
            visible_fraction=np.where(areas > 0, rendered.visible_areas / np.maximum(areas, 1), np.nan),
            cut_off=np.any(border, axis=0),
        )


def millimetres(depth: Array) -> NDArray[np.uint16]:
    """Depth in metres as 16 bits of millimetres; what is too far for them is unknown, 0."""
    return np.where((depth > 0) & (depth < FARTHEST), np.rint(depth * 1000), 0).astype(np.uint16)


def driver_stamps(times: Sequence[float], fps: int) -> list[float]:
    """Return ascending stamps in seconds, 0 at the first, of frames of these scene `times`.

    A repeated frame is stamped one period after the frame that it repeats.
    """
    stamps = [0.0]
    for time in times[1:]:
        stamps.append(max(time - times[0], stamps[-1] + 1 / fps))
    return stamps


def velocity_of(foot: Callable[[float], Array], time: float) -> Array:
    """m/s `[3]` of a point that is at `foot(time)` `[3]`."""
    way = foot(time + _MOMENT).astype(np.float64) - foot(time - _MOMENT)
    return vector(*(way / (2 * _MOMENT)))


def _in_world(points: Sequence[Array]) -> NDArray[np.float64]:
    return np.stack(points).astype(np.float64) @ _TO_WORLD.T
