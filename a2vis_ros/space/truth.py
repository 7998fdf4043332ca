"""What is true of a frame, and which track is of which object: what joins a localizer's output to `evaluation`. No ROS.

A track is known by its masks and not by its place, or errors of place could be no larger than the reach of matching.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..planner.mask_codec import RunLengthMask
from .camera import CameraModel
from .evaluation import EstimatedObject, EvaluatedFrame, TrueObject
from .localizer import ImageTrack, LocatedObject
from .transforms import RigidTransform

_LEAST_OVERLAP = 0.5
"""Intersection over union of two visible masks of the same object, and the share of a track's visible mask that must
lie in the full shape of the object whose it was, to stay its."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class TrueThing:
    """An object in one frame: masks, and its place in the fixed frame in metres."""

    thing_id: int
    class_name: str
    position: Numbers
    """The middle of the box that holds it, `[3]`."""
    velocity: Numbers
    """`[3]` in m/s."""
    size: Numbers
    """`[3]`, height last."""
    width: float
    """Extent across the line of sight, see `width_across`; NaN where that is not known."""
    visible: RunLengthMask
    amodal: RunLengthMask

    def as_seen(self, height: int, width: int) -> TrueObject:
        """Return the object with how it is seen in an image of this size."""
        whole, seen = self.amodal, self.visible
        foot = whole.y + whole.height
        covered = (foot - seen.y - seen.height) / whole.height if seen.area and whole.area else 0.0
        return TrueObject(
            thing_id=self.thing_id,
            position=self.position,
            velocity=self.velocity,
            height=float(self.size[2]),
            width=self.width,
            visible_fraction=seen.area / whole.area if whole.area else math.nan,
            foot_covered=covered,
            cut_off=bool(whole.area) and touches_border(whole, height, width),
        )


def width_across(
    size: Numbers,
    yaw: float,
    position: Numbers,
    amodal: RunLengthMask,
    camera: CameraModel,
    world_from_camera: RigidTransform,
) -> float:
    """Return how wide an object is across the horizontal line of sight, in metres.

    That is the extent that a localizer tells, and no side of the object's own box, which is turned. It is the smaller
    of two lengths, each of which is too large for some bodies:

    * L |sin ψ| + W |cos ψ|, the extent of the box of length L and width W that holds it, whose length is turned by ψ
      from the line of sight. A body with corners is so wide; a ball, seen along the diagonal, is √2 times less.
    * what the sides of its amodal mask are apart at its distance. A rounded body is so wide; a box's near corner seems
      further out than it is.

    Of the five kinds of bodies of the robot world, 4 to 14 m away, the smaller one is out by 0 to 1 % on average, the
    first alone by 0 to 27 %.

    Args:
        size: length, width and height.
        yaw: angle of the length from x towards y, in radians; NaN for a flat cut-out, which stands parallel to the
            picture.
        position: middle of the box that holds the object, in the world, whose z points up.
        amodal: its silhouette.
        camera: camera of the picture.
        world_from_camera: where that is.

    Returns:
        NaN where the picture's left or right border cuts the silhouette off, and where there is none or no size.
    """
    right = amodal.x + amodal.width
    if not amodal.area or amodal.x == 0 or right == camera.width:
        return math.nan
    sight = (position - world_from_camera.translation)[:2]
    distance = float(np.hypot(*sight))
    ahead = sight / distance if distance else np.zeros(2)
    middle = amodal.y + (amodal.height - 1) / 2
    rays = camera.rays(np.array([[amodal.x - 0.5, middle], [right - 0.5, middle]])) @ world_from_camera.rotation.T
    along, left = rays[:, :2] @ ahead, rays[:, :2] @ np.array([-ahead[1], ahead[0]])
    if not (along > 0).all():
        return math.nan
    slopes = left / along
    axis = world_from_camera.rotation[:2, 2] if math.isnan(yaw) else np.array([math.cos(yaw), math.sin(yaw)])
    # Nobody looks along a cut-out from straight above, where the camera has no axis on the ground.
    cosine = min(abs(float(axis @ ahead)) / (float(np.hypot(*axis)) or 1.0), 1.0)
    box = float(size[0]) * math.sqrt(1 - cosine**2) + float(size[1]) * cosine
    return min(box, distance * float(slopes[0] - slopes[1])) or math.nan


def touches_border(mask: RunLengthMask, height: int, width: int) -> bool:
    """Return whether a mask that is not empty reaches the border of an image of this size."""
    return min(mask.x, mask.y) == 0 or mask.x + mask.width == width or mask.y + mask.height == height


class TrackAssignment:
    """Assignment of tracks to true objects through the frames of one clip."""

    def __init__(self) -> None:
        self._thing_of: dict[int, int] = {}

    def update(self, things: Sequence[TrueThing], tracks: Sequence[ImageTrack]) -> dict[int, int]:
        """True objects by track IDs in the next frame.

        Tracks that see an object are matched by the visible masks, so that the overlaps of all together are largest.
        One that sees nothing is of the object whose it was, and so is one that sees a part of it.
        """
        seen = [track for track in tracks if track.visible.area]
        shown = [thing for thing in things if thing.visible.area]
        overlaps = np.array([[_overlap(track.visible, thing.visible) for thing in shown] for track in seen])
        overlaps = overlaps.reshape(len(seen), len(shown))
        found = {
            seen[row].track_id: shown[column].thing_id
            for row, column in zip(*linear_sum_assignment(-overlaps), strict=True)
            if overlaps[row, column] >= _LEAST_OVERLAP
        }
        by_id = {thing.thing_id: thing for thing in things}
        for track in tracks:
            thing = by_id.get(self._thing_of.get(track.track_id, -1))
            if track.track_id in found or thing is None:
                continue
            area = track.visible.area
            if not area or _common(track.visible, thing.amodal) >= _LEAST_OVERLAP * area:
                found[track.track_id] = thing.thing_id
        self._thing_of = found
        return found


def evaluated_frame(
    seconds: float,
    things: Sequence[TrueThing],
    tracks: Sequence[ImageTrack],
    located: Sequence[LocatedObject],
    thing_of: dict[int, int],
    *,
    height: int,
    width: int,
) -> EvaluatedFrame:
    """What is true and what a localizer says in one frame.

    Args:
        seconds: time of the frame.
        things: true objects.
        tracks: what the localizer was given.
        located: what it said.
        thing_of: thing of each track, from `TrackAssignment`.
        height: rows of the image.
        width: columns of the image.
    """
    seen = {track.track_id for track in tracks if track.visible.area}
    return EvaluatedFrame(
        seconds,
        tuple(thing.as_seen(height, width) for thing in things),
        tuple(
            EstimatedObject(
                thing_id=thing_of.get(one.track_id),
                position=one.position,
                velocity=one.velocity,
                covariance=one.covariance,
                height=float(one.size[2]),
                width=float(one.size[1]),
                seen=one.track_id in seen,
            )
            for one in located
        ),
    )


def _overlap(mask: RunLengthMask, other: RunLengthMask) -> float:
    """Intersection over union of two masks that are not empty."""
    common = _common(mask, other)
    return common / (mask.area + other.area - common)


def _common(mask: RunLengthMask, other: RunLengthMask) -> int:
    """Pixels of both masks."""
    x0, y0 = max(mask.x, other.x), max(mask.y, other.y)
    x1, y1 = min(mask.x + mask.width, other.x + other.width), min(mask.y + mask.height, other.y + other.height)
    if x1 <= x0 or y1 <= y0:
        return 0
    parts = [m.pixels[y0 - m.y : y1 - m.y, x0 - m.x : x1 - m.x] for m in (mask, other)]
    return int(np.count_nonzero(parts[0] & parts[1]))
