"""One frame's masks of an object to a position and an extent in space. No ROS.

Everything is worked out in the object's own view frame: `forward`, horizontally from the camera to the object, `left`
of it, and `up`. A ray with the components (a, b, c) meets what is at a forward distance D at D b / a to the left and
D c / a above the camera. Depth and ground plane differ in how D is found, and in nothing else.

All objects of a frame are worked out side by side, in arrays of N: one by one nearly all of the time would be spent in
calling NumPy.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import MaskSet, RunLengthMask
from .camera import CameraModel
from .depth_surface import DepthMetres, DepthNoise, surface_distances
from .ground import GroundPlane, distance_on_ground, distance_std
from .mask_edges import BOTTOM, LEFT, RIGHT, TOP, MaskEdges, mask_edges
from .profiles import ClassProfile, ProfileTable
from .transforms import cross

_LEAST_SURE = 0.7
"""A distance whose standard deviation is a larger share of it than this is not known."""
_MIDDLE_STD = 0.06
"""Standard deviation of the middle of an outline from that of the body, as a share of the width: limbs and turned sides
move it. In the rendered robot world it is about 4 cm."""
_LEAST_EXTENT = 0.02
"""Metres; no object is thinner."""


class Source(enum.IntEnum):
    """Way in which a position was found. Values are those of msg/TrackedObject."""

    DEPTH = 0
    GROUND = 1
    PREDICTED = 2


class Unplaced(str, enum.Enum):
    """Reason why an object has no position in a frame."""

    NO_GROUND = "neither depth nor a ground plane"
    DEPTH_HOLE = "no depth on the object, and no ground plane"
    HORIZON = "the foot is at or above the horizon"
    TOO_FAR = "further away than max_range_m"
    UNSURE = "so near the horizon that the distance is not known"
    NO_RAY = "outside what the lens model can tell"


@dataclass(frozen=True)
class PlacementSettings:
    """Settings by which measurements are judged."""

    pixel_std: float = 1.5
    """Standard deviation of a mask's side that is seen, in pixels."""
    outline_std: float = 0.1
    """Standard deviation of what is wrong of a mask's side for many frames, as a share of the box's width or height."""
    hidden_std: float = 1.0
    """Standard deviation of a hidden side, as a share of its distance from the visible mask; at most about a third of
    the box."""
    depth_noise: DepthNoise = field(default_factory=DepthNoise)
    attitude_std_deg: float = 0.5
    """Standard deviation of the camera's pitch over the ground, in degrees."""
    ground_std: float = 0.03
    """Standard deviation of the camera's height above the ground where the object stands, in metres."""
    max_range: float = 50.0
    """Objects further away are not placed, in metres."""


class Placements(NamedTuple):
    """Places of M of the N objects of a frame; vectors are in the optical frame, lengths in metres."""

    number: NDArray[np.intp]
    """[M] which of the objects these are, in their order."""
    source: NDArray[np.intp]
    """[M] values of `Source`."""
    centre: NDArray[np.float64]
    """[M, 3] of the boxes."""
    noise: NDArray[np.float64]
    """[M, 3, 3] covariance of the centres' errors that differ from frame to frame."""
    bias: NDArray[np.float64]
    """[M, 3, 3] covariance of those that stay: the camera's attitude, the class's size, guessed sides. No averaging
    over frames lessens them."""
    extent: NDArray[np.float64]
    """[M, 3] along forward, across it, and along up."""
    extent_std: NDArray[np.float64]
    """[M, 3]"""
    axes: NDArray[np.float64]
    """[M, 3, 3] whose columns are the unit vectors forward, left and up of the objects' view frames."""
    cut_off: NDArray[np.bool_]
    """[M] whether the image ends within the object."""
    unplaced: dict[int, Unplaced]
    """Reasons why the others have no place, by their index."""


class MaskedObject(NamedTuple):
    """What the masks of one object in one frame are, and what is known of its class."""

    visible: RunLengthMask
    amodal: RunLengthMask
    profile: ClassProfile


_RAYS = 6
"""Number of rays that are needed of each object."""
_FOOT, _ABOVE_FOOT, _TOP, _LEFT, _RIGHT, _CENTRE = range(_RAYS)
"""Their indices: to the foot, one pixel above it, to the sides of the box, and to its middle."""
_REASONS = tuple(Unplaced)
_PLACED = -1
"""Stands for a place in arrays of indices of `_REASONS`."""


def place_objects(
    objects: Sequence[MaskedObject],
    visible: MaskSet,
    camera: CameraModel,
    up: NDArray[np.float64],
    ground: GroundPlane | None,
    depth: DepthMetres | None,
    settings: PlacementSettings,
) -> Placements:
    """Place each object of a frame: by depth where there is depth on it, else on the ground.

    Args:
        objects: N of them, each with a visible mask or an amodal one.
        visible: their visible masks.
        camera: camera of the image.
        up: [3] unit vector upwards in the camera's optical frame; that of the ground where there is one.
        ground: ground plane in the camera's optical frame, if it is known.
        depth: [H, W] registered to the image, if there is one.
        settings: how sure what is.
    """
    edges = mask_edges(
        [(one.visible, one.amodal) for one in objects],
        camera.height,
        camera.width,
        pixel_std=settings.pixel_std,
        outline_std=settings.outline_std,
        hidden_std=settings.hidden_std,
    )
    rays = camera.rays(_pixels(edges)).reshape(-1, _RAYS, 3)
    # An object without a ray has NaN throughout, and what is infinite is far beyond all limits.
    with np.errstate(all="ignore"):
        axes, left, above = _view_frames(rays, up)
        profiles = ProfileTable.of([one.profile for one in objects])
        geometry = _Geometry(edges, left, above, profiles, ground, settings)
        near, source, reason = geometry.near_sides()
        if depth is not None and len(objects):
            found, std = surface_distances(
                depth, visible, axes[:, :, 0], profiles.length + profiles.size_std, camera, settings.depth_noise
            )
            by_depth = ~np.isnan(found)
            near = _Lengths(*np.where(by_depth, (found, std, std), near))
            source = np.where(by_depth, Source.DEPTH, source)
            if ground is None:
                hole = np.array([not one.visible.is_empty for one in objects])
                reason = np.where(hole, _REASONS.index(Unplaced.DEPTH_HOLE), reason)
            reason = np.where(by_depth, _PLACED, reason)
        too_far = (reason == _PLACED) & (near.value > settings.max_range)
        reason = np.where(too_far, _REASONS.index(Unplaced.TOO_FAR), reason)
        reason = np.where(np.isnan(left[:, 0]), _REASONS.index(Unplaced.NO_RAY), reason)
        boxes = geometry.boxes(near, source == Source.GROUND)
    return _in_space(boxes, axes, source, reason, np.asarray(edges.cut.any(axis=1)))


def _pixels(edges: MaskEdges) -> NDArray[np.float64]:
    """[N * 6, 2] pixels whose rays are needed, in the order of their indices."""
    left, right, top, bottom = edges.position.T
    u, v, foot_u = (left + right) / 2, (top + bottom) / 2, edges.foot_u
    columns = np.array([foot_u, foot_u, u, left, right, u])
    rows = np.array([bottom, bottom - 1, top, v, v, v])
    return np.array([columns, rows]).T.reshape(-1, 2)


def _view_frames(
    rays: NDArray[np.float64], up: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each object's view frame, and its rays in it.

    Args:
        rays: [N, 6, 3] of `_pixels`.
        up: [3] unit vector.

    Returns:
        [N, 3, 3] whose columns are forward, left and up; [N, 6] metres to the left, and [N, 6] metres upwards, for one
        metre forward along each ray. NaN for objects that have none: pixels without a ray, and straight below, where
        there is no forward.
    """
    centre = rays[:, _CENTRE]
    forward = centre - (centre @ up)[:, None] * up
    length = np.sqrt((forward * forward).sum(axis=1, keepdims=True))
    axes = np.empty((len(rays), 3, 3))
    axes[:, :, 0] = np.where(length > 1e-3, forward / length, np.nan)
    axes[:, :, 1] = cross(up, axes[:, :, 0])
    axes[:, :, 2] = up
    view = rays @ axes
    ahead = view[..., 0]
    # Written so that NaN fails too.
    ahead = np.where((ahead > 1e-6).all(axis=1, keepdims=True), ahead, np.nan)
    return axes, view[..., 1] / ahead, view[..., 2] / ahead


class _Lengths(NamedTuple):
    """Lengths of N objects in metres, with the standard deviations of what differs from frame to frame and what not."""

    value: NDArray[np.float64]
    noise: NDArray[np.float64]
    bias: NDArray[np.float64]


class _Boxes(NamedTuple):
    """Boxes of N objects in their own view frames, [N, 3] along forward, left and up, in metres."""

    centre: NDArray[np.float64]
    noise: NDArray[np.float64]
    """Standard deviations: of the distance, and of the other two beside what follows from it."""
    bias: NDArray[np.float64]
    extent: NDArray[np.float64]
    extent_std: NDArray[np.float64]
    on_ground: NDArray[np.bool_]
    """[N] whether the distance is that of the ground."""

    def select(self, rows: NDArray[np.intp]) -> "_Boxes":
        """Those of some of the objects."""
        return _Boxes(
            centre=self.centre[rows],
            noise=self.noise[rows],
            bias=self.bias[rows],
            extent=self.extent[rows],
            extent_std=self.extent_std[rows],
            on_ground=self.on_ground[rows],
        )


class _Geometry:
    """The geometry of all objects of one frame.

    Args:
        edges: edges of their full shapes.
        left, up: [N, 6] slopes of their rays, see `_view_frames`.
        profiles: of their classes.
        ground, settings: see `place_objects`.
    """

    def __init__(
        self,
        edges: MaskEdges,
        left: NDArray[np.float64],
        up: NDArray[np.float64],
        profiles: ProfileTable,
        ground: GroundPlane | None,
        settings: PlacementSettings,
    ) -> None:
        self._edges, self._profiles, self._ground, self._settings = edges, profiles, ground, settings
        self._left, self._up = left.T, up.T
        self._cut = edges.cut.T
        self._noise, self._bias = edges.noise.T, edges.bias.T

    def near_sides(self) -> tuple[_Lengths, NDArray[np.intp], NDArray[np.intp]]:
        """Forward distances of the objects' near sides on the ground.

        Returns:
            the distances, their sources, and for each the index in `_REASONS` of why it is not known, or `_PLACED`.
        """
        count = len(self._edges.position)
        source = np.full(count, int(Source.GROUND))
        ground = self._ground
        if ground is None:
            unknown = np.full(count, np.nan)
            return _Lengths(unknown, unknown, unknown), source, np.full(count, _REASONS.index(Unplaced.NO_GROUND))
        depression = -np.arctan(self._up[_FOOT])
        lowest = distance_on_ground(depression, ground.height)
        foot, cut = self._foot_distance(ground, depression, lowest), self._cut_distance(ground, lowest)
        near = _Lengths(*np.where(self._cut[BOTTOM], cut, foot))
        unsure = ~self._cut[BOTTOM] & (np.hypot(near.noise, near.bias) > _LEAST_SURE * near.value)
        reason = np.where(unsure, _REASONS.index(Unplaced.UNSURE), _PLACED)
        return near, source, np.where(np.isfinite(near.value), reason, _REASONS.index(Unplaced.HORIZON))

    def _foot_distance(
        self, ground: GroundPlane, depression: NDArray[np.float64], lowest: NDArray[np.float64]
    ) -> _Lengths:
        """Distances of feet, from where their rays meet the ground.

        Args:
            ground: the plane.
            depression: [N] angles of the rays to the boxes' lower sides below the horizon, in radians.
            lowest: [N] distances at which these meet the ground.
        """
        settings = self._settings
        pixel = np.abs(depression + np.arctan(self._up[_ABOVE_FOOT]))
        attitude = np.hypot(math.radians(settings.attitude_std_deg), pixel * self._bias[BOTTOM])
        noise = distance_std(lowest, ground.height, pixel * self._noise[BOTTOM], 0.0)
        return _Lengths(lowest, noise, distance_std(lowest, ground.height, attitude, settings.ground_std))

    def _cut_distance(self, ground: GroundPlane, lowest: NDArray[np.float64]) -> _Lengths:
        """Return the distances of objects whose feet the image cuts off.

        They follow from the height that objects of the class have, if the top is seen, and are at most those of the
        ground at the image's lower side, `lowest`.
        """
        profiles, slope = self._profiles, self._up[_TOP]
        above = profiles.height - ground.height
        distance = above / slope
        std = distance * profiles.size_std / np.abs(above)
        known = ~self._cut[TOP] & (distance > 0) & (distance <= lowest) & (std <= _LEAST_SURE * distance)
        # Otherwise it is anywhere between the camera and there.
        std = np.where(known, std, lowest / math.sqrt(12))
        return _Lengths(np.where(known, distance, lowest / 2), std, std)

    def boxes(self, near: _Lengths, on_ground: NDArray[np.bool_]) -> _Boxes:
        """The objects' boxes, from the forward distances of their near sides.

        Args:
            near: those distances.
            on_ground: [N] whether they are those of the ground.
        """
        thickness, thickness_std = self._profiles.thickness(self._width(near.value))
        distance = near.value + thickness / 2
        across, left = self._across(distance)
        height, above = self._upright(near.value, thickness, on_ground)
        left_std, above_std = np.hypot(left.noise, left.bias), np.hypot(above.noise, above.bias)
        return _Boxes(
            centre=np.array([distance, left.value, above.value]).T,
            noise=np.array([near.noise, left.noise, above.noise]).T,
            bias=np.array([np.hypot(near.bias, thickness_std / 2), left.bias, above.bias]).T,
            extent=np.array([thickness, np.maximum(across, _LEAST_EXTENT), height]).T,
            extent_std=np.array([thickness_std, 2 * left_std, 2 * above_std]).T,
            on_ground=on_ground,
        )

    def _width(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Extents across the line of sight: what is seen of it, or what is usual where the image cuts off more."""
        seen = (self._left[_LEFT] - self._left[_RIGHT]) * distance
        return np.where(self._cut[LEFT] | self._cut[RIGHT], np.maximum(seen, self._profiles.lateral), seen)

    def _across(self, distance: NDArray[np.float64]) -> tuple[NDArray[np.float64], _Lengths]:
        """Extents across the line of sight, and how far to the left their middles are."""
        cut_left, cut_right = self._cut[LEFT], self._cut[RIGHT]
        across = self._width(distance)
        left, right = self._left[_LEFT] * distance, self._left[_RIGHT] * distance
        seen = left - right
        position = self._edges.position.T
        metres = seen / (position[RIGHT] - position[LEFT])
        noise = np.hypot(self._noise[LEFT], self._noise[RIGHT]) * metres / 2
        bias = np.hypot(np.hypot(self._bias[LEFT], self._bias[RIGHT]) * metres / 2, _MIDDLE_STD * seen)
        middle = (left + right) / 2
        cut = cut_left | cut_right
        if cut.any():
            both = cut_left & cut_right
            middle = np.where(cut_left & ~both, right + across / 2, middle)
            middle = np.where(cut_right & ~both, left - across / 2, middle)
            std = np.where(both, across / 2, np.hypot(self._profiles.lateral_std, (across - seen) / 2))
            noise, bias = np.where(cut, std, noise), np.where(cut, std, bias)
        return across, _Lengths(middle, noise, bias)

    def _upright(
        self, near: NDArray[np.float64], thickness: NDArray[np.float64], on_ground: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], _Lengths]:
        """Heights, and how far above the camera their middles are."""
        profiles, cut_top, cut_bottom = self._profiles, self._cut[TOP], self._cut[BOTTOM]
        foot, above_foot, highest = self._up[_FOOT], self._up[_ABOVE_FOOT], self._up[_TOP]
        # The highest pixel is of the near side where one looks up to it, and of the far side where one looks down.
        top = highest * np.where(highest > 0, near, near + thickness)
        metres = near * np.abs(foot - above_foot)
        top_noise, top_bias = metres * self._noise[TOP], metres * self._bias[TOP]
        bottom = foot * near
        bottom_noise, bottom_bias = metres * self._noise[BOTTOM], metres * self._bias[BOTTOM]
        if self._ground is not None:
            stands = on_ground | cut_bottom
            bottom = np.where(stands, -self._ground.height, bottom)
            bottom_noise = np.where(stands, 0.0, bottom_noise)
            bottom_bias = np.where(stands, self._settings.ground_std, bottom_bias)
        else:
            bottom = np.where(cut_bottom, np.minimum(bottom, top - profiles.height), bottom)
            bottom_noise = np.where(cut_bottom, profiles.size_std, bottom_noise)
            bottom_bias = np.where(cut_bottom, profiles.size_std, bottom_bias)
        top = np.where(cut_top, np.maximum(top, bottom + profiles.height), top)
        top_noise = np.where(cut_top, profiles.size_std, top_noise)
        top_bias = np.where(cut_top, profiles.size_std, top_bias)
        height = np.maximum(top - bottom, _LEAST_EXTENT)
        noise, bias = np.hypot(top_noise, bottom_noise) / 2, np.hypot(top_bias, bottom_bias) / 2
        return height, _Lengths(bottom + height / 2, noise, bias)


def _in_space(
    boxes: _Boxes,
    axes: NDArray[np.float64],
    source: NDArray[np.intp],
    reason: NDArray[np.intp],
    cut_off: NDArray[np.bool_],
) -> Placements:
    """Return the boxes that have a place as they are in the optical frame.

    Args:
        boxes: N of them.
        axes: [N, 3, 3] of their view frames.
        source: [N] of their distances.
        reason: [N] index in `_REASONS` of why a box has no place, or `_PLACED`.
        cut_off: [N] whether the image ends within the object.
    """
    placed = np.flatnonzero(reason == _PLACED)
    if len(placed) < len(reason):
        boxes = boxes.select(placed)
        axes, source, cut_off = axes[placed], source[placed], cut_off[placed]
    centre = boxes.centre
    # An error of the distance moves an object along its ray; one that stands on the ground stays on the ground.
    along = centre / centre[:, :1]
    along[boxes.on_ground, 2] = 0.0
    # The covariances along the boxes' axes, [2, M, 3, 3]: first those of the noise, then those of the bias.
    variances = np.array([boxes.noise, boxes.bias]) ** 2
    covariances = along[:, :, None] * along[:, None, :] * variances[:, :, :1, None]
    np.einsum("...ii->...i", covariances)[..., 1:] += variances[..., 1:]
    noise, bias = axes @ covariances @ axes.transpose(0, 2, 1)
    return Placements(
        number=placed,
        source=source,
        centre=(axes @ centre[:, :, None])[:, :, 0],
        noise=noise,
        bias=bias,
        extent=boxes.extent,
        extent_std=boxes.extent_std,
        axes=axes,
        cut_off=cut_off,
        unplaced={number: _REASONS[code] for number, code in enumerate(reason.tolist()) if code != _PLACED},
    )
