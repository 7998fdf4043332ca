"""Boxes in space as a camera sees them: true masks and true depth, to hold the localizer to."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.space.camera import CameraModel
from a2vis_ros.space.localizer import ImageTrack, State, TrackFrame
from a2vis_ros.space.transforms import RigidTransform

CAMERA = CameraModel(640, 480, 500.0, 500.0, 319.5, 239.5, frame_id="camera")
HEIGHT = 1.2
"""Height of the camera above the ground, in metres."""
LEVEL = RigidTransform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.0, 0, HEIGHT]))
"""World (x forward, y left, z up) from a camera that looks along x."""
WALL = 20.0
"""Depth of the background, in metres."""


def pitched(degrees: float) -> RigidTransform:
    """`LEVEL` with the optical axis turned below the horizon."""
    angle = np.radians(degrees)
    down = np.array([[1.0, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    return RigidTransform(LEVEL.rotation @ down, LEVEL.translation)


@dataclass(frozen=True)
class Box:
    """An upright box on the ground of a world whose z points up."""

    x: float
    y: float
    size: tuple[float, float, float] = (0.5, 0.5, 1.7)
    z: float = 0.0
    """Height of its base above the ground, in metres."""

    @property
    def centre(self) -> NDArray[np.float64]:
        return np.array([self.x, self.y, self.z + self.size[2] / 2])


def look(
    boxes: Sequence[Box],
    world_from_camera: RigidTransform = LEVEL,
    camera: CameraModel = CAMERA,
) -> tuple[list[tuple[RunLengthMask, RunLengthMask]], NDArray[np.float32]]:
    """Visible and amodal mask of each box, and the depth image [H, W] in metres.

    Every pixel's ray is cut with every box, so lens distortion is in it.
    """
    depths = [_depth(box, world_from_camera, camera) for box in boxes]
    nearest = np.min(np.stack([*depths, np.full((camera.height, camera.width), WALL)]), axis=0)
    masks = []
    for depth in depths:
        amodal = np.isfinite(depth)
        masks.append((encode_image(amodal & (depth <= nearest)), encode_image(amodal)))
    return masks, nearest.astype(np.float32)


def _depth(box: Box, world_from_camera: RigidTransform, camera: CameraModel) -> NDArray[np.float64]:
    """[H, W] at which the rays of all pixels enter a box; infinite where they do not."""
    found = np.full((camera.height, camera.width), np.inf)
    corners = box.centre + np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * box.size
    pixels = camera.project(world_from_camera.inverse().apply(corners))
    x0, y0, x1, y1 = 0, 0, camera.width, camera.height
    if np.isfinite(pixels).all():
        # Rays are cut only where the box can be.
        (left, top), (right, bottom) = pixels.min(axis=0) - 9, pixels.max(axis=0) + 9
        x0, x1 = (int(np.clip(x, 0, camera.width)) for x in (left, right))
        y0, y1 = (int(np.clip(y, 0, camera.height)) for y in (top, bottom))
    v, u = np.mgrid[y0:y1, x0:x1]
    directions = camera.rays(np.column_stack([u.ravel(), v.ravel()])) @ world_from_camera.rotation.T
    found[y0:y1, x0:x1] = _entry(box, world_from_camera.translation, directions).reshape(u.shape)
    return found


def _entry(box: Box, origin: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] depth at which rays enter a box; infinite where they do not. Along the optical axis, as rays have z = 1."""
    half = np.array(box.size) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (box.centre - half - origin) / directions
        other = (box.centre + half - origin) / directions
        near, far = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
        return np.where((near < far) & (near > 0), near, np.inf)


def track(
    visible: RunLengthMask,
    amodal: RunLengthMask,
    *,
    track_id: int = 1,
    state: State | None = None,
    class_name: str = "person",
    existence: float = 0.9,
) -> ImageTrack:
    """A track that is visible if anything of it is."""
    if state is None:
        state = State.VISIBLE if visible.area else State.LOST
    if state is State.LOST:
        visible = amodal = RunLengthMask.empty()
    return ImageTrack(track_id, state, 0, class_name, 0.9, existence, visible, amodal)


def frame(seconds: float, tracks: Sequence[ImageTrack], *, epoch: int = 0, session: int = 7) -> TrackFrame:
    """Return a frame of this module's camera with these tracks."""
    return TrackFrame(round((100 + seconds) * 1e9), "camera", CAMERA.height, CAMERA.width, session, epoch, tracks)
