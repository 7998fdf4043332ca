"""One frame's masks of an object to a position and an extent in space. No ROS.

Everything is worked out in the object's own view frame: `forward`, horizontally from the camera to the object, `left`
of it, and `up`. A ray with the components (a, b, c) meets what is at a forward distance D at D b / a to the left and
D c / a above the camera. Depth and ground plane differ in how D is found, and in nothing else.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import RunLengthMask
from .camera import CameraModel
from .depth_surface import DepthMetres, DepthNoise, Probe, Surface, surface_distances
from .ground import GroundPlane, distance_on_ground, distance_std
from .mask_edges import FrameEdges, MaskEdges, mask_edges
from .profiles import ClassProfile
from .transforms import cross

_CAMERA_UP = np.array([0.0, -1.0, 0.0])
"""Upward direction in the optical frame of a camera that is mounted level."""
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
    hidden_std: float = 0.15
    """Standard deviation of a hidden side, as a share of its distance from the visible mask."""
    depth_noise: DepthNoise = field(default_factory=DepthNoise)
    attitude_std_deg: float = 0.5
    """Standard deviation of the camera's pitch over the ground, in degrees."""
    ground_std: float = 0.03
    """Standard deviation of the camera's height above the ground where the object stands, in metres."""
    max_range: float = 50.0
    """Objects further away are not placed, in metres."""


@dataclass(frozen=True)
class Placement:
    """Place of an object in one frame; vectors are in the optical frame, lengths in metres."""

    source: Source
    centre: NDArray[np.float64]
    """[3] of its box."""
    noise: NDArray[np.float64]
    """[3, 3] covariance of the centre's errors that differ from frame to frame."""
    bias: NDArray[np.float64]
    """[3, 3] covariance of those that stay: the camera's attitude, the class's size, guessed sides. No averaging over
    frames lessens them."""
    extent: NDArray[np.float64]
    """[3] along forward, across it, and along up."""
    extent_std: NDArray[np.float64]
    """[3]"""
    axes: NDArray[np.float64]
    """[3, 3] whose columns are the unit vectors forward, left and up of the object's view frame."""
    cut_off: bool
    """The image ends within the object."""


@dataclass(frozen=True)
class MaskedObject:
    """What the masks of one object in one frame are, and what is known of its class."""

    visible: RunLengthMask
    amodal: RunLengthMask
    profile: ClassProfile


def place_objects(
    objects: Sequence[MaskedObject],
    camera: CameraModel,
    ground: GroundPlane | None,
    depth: DepthMetres | None,
    settings: PlacementSettings,
) -> list[Placement | Unplaced]:
    """Place each object of a frame: by depth where there is depth on it, else on the ground.

    Args:
        objects: each with a visible mask or an amodal one.
        camera: camera of the image.
        ground: ground plane in the camera's optical frame, if it is known.
        depth: [H, W] registered to the image, if there is one.
        settings: how sure what is.
    """
    edges = mask_edges(
        [(one.visible, one.amodal) for one in objects],
        camera.height,
        camera.width,
        pixel_std=settings.pixel_std,
        hidden_std=settings.hidden_std,
    )
    # All rays, and all vectors, at once: small arrays cost by the call.
    rays = camera.rays(_pixels(edges)).reshape(-1, _RAYS, 3)
    axes, left, up = _view_frames(rays, _CAMERA_UP if ground is None else ground.up)
    surfaces = _surfaces(objects, axes, camera, depth, settings.depth_noise)
    boxes = [
        _Placing(one, edge, lefts, ups, ground, settings).place(surface)
        for one, edge, surface, lefts, ups in zip(
            objects, edges.of_each(), surfaces, left.tolist(), up.tolist(), strict=True
        )
    ]
    placed = [index for index, box in enumerate(boxes) if isinstance(box, _Box)]
    placements = _in_space([box for box in boxes if isinstance(box, _Box)], axes[placed])
    found: list[Placement | Unplaced] = [box for box in boxes if isinstance(box, Unplaced)]
    for index, placement in zip(placed, placements, strict=True):
        found.insert(index, placement)
    return found


_RAYS = 6


def _pixels(edges: FrameEdges) -> NDArray[np.float64]:
    """[N * 6, 2] pixels whose rays are needed: foot, one pixel above it, top, left, right and centre of each object."""
    left, right, top, bottom = edges.position.T
    u, v, foot_u = (left + right) / 2, (top + bottom) / 2, edges.foot_u
    pixels = [(foot_u, bottom), (foot_u, bottom - 1), (u, top), (left, v), (right, v), (u, v)]
    return np.array(pixels).transpose(2, 0, 1).reshape(-1, 2)


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
    forward = rays[:, 5] - (rays[:, 5] @ up)[:, None] * up
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.linalg.norm(forward, axis=1, keepdims=True)
        forward = np.where(length > 1e-3, forward / length, np.nan)
        axes = np.stack([forward, cross(up, forward), np.broadcast_to(up, forward.shape)], axis=2)
        view = rays @ axes
        finite = np.isfinite(view).reshape(len(view), _RAYS * 3).all(axis=1, keepdims=True)
        ahead = np.where((view[..., 0] > 1e-6) & finite, view[..., 0], np.nan)
        return axes, view[..., 1] / ahead, view[..., 2] / ahead


def _surfaces(
    objects: Sequence[MaskedObject],
    axes: NDArray[np.float64],
    camera: CameraModel,
    depth: DepthMetres | None,
    noise: DepthNoise,
) -> "list[Surface | Unplaced | None]":
    """Each object's surface; Unplaced where it is a hole in the depth image, None where there is no depth to look at.

    Args:
        objects: N of them.
        axes: [N, 3, 3] of their view frames.
        camera: of the image.
        depth: [H, W] registered to the image, if there is one.
        noise: of the depth.
    """
    surfaces: list[Surface | Unplaced | None] = [None] * len(objects)
    if depth is None:
        return surfaces
    shown = [
        index
        for index, (one, forward) in enumerate(zip(objects, axes[:, 0, 0].tolist(), strict=True))
        if one.visible.area and not math.isnan(forward)
    ]
    probes = [
        Probe(one.visible, axes[index, :, 0], one.profile.length + one.profile.size_std)
        for index, one in ((index, objects[index]) for index in shown)
    ]
    for index, surface in zip(shown, surface_distances(depth, probes, camera, noise), strict=True):
        surfaces[index] = surface or Unplaced.DEPTH_HOLE
    return surfaces


def _in_space(boxes: Sequence["_Box"], axes: NDArray[np.float64]) -> list[Placement]:
    """Return each box as it is in the optical frame.

    Args:
        boxes: N of them.
        axes: [N, 3, 3] of their view frames.
    """
    if not boxes:
        return []
    centres = np.array([box.centre for box in boxes])
    # An error of the distance moves an object along its ray; one that stands on the ground stays on the ground.
    along = centres / centres[:, :1]
    along[[box.source is Source.GROUND for box in boxes], 2] = 0.0
    outer = along[:, :, None] * along[:, None, :]
    # Variances of the noise and of the bias of each box along its axes, [2, N, 3].
    variances = np.array([[box.noise for box in boxes], [box.bias for box in boxes]]) ** 2
    covariances = outer * variances[:, :, :1, None]
    np.einsum("...ii->...i", covariances)[..., 1:] += variances[..., 1:]
    covariances = axes @ covariances @ axes.transpose(0, 2, 1)
    vectors = zip(
        (axes @ centres[:, :, None])[:, :, 0],
        *covariances,
        np.array([box.extent for box in boxes]),
        np.array([box.extent_std for box in boxes]),
        axes,
        strict=True,
    )
    return [
        Placement(box.source, centre, noise, bias, extent, extent_std, own_axes, box.cut_off)
        for box, (centre, noise, bias, extent, extent_std, own_axes) in zip(boxes, vectors, strict=True)
    ]


class _Box(NamedTuple):
    """A placement in the object's own view frame: forward, left, up, in metres."""

    source: Source
    centre: tuple[float, float, float]
    noise: tuple[float, float, float]
    """Standard deviations: of the distance, and of the other two beside what follows from it."""
    bias: tuple[float, float, float]
    extent: tuple[float, float, float]
    extent_std: tuple[float, float, float]
    cut_off: bool


class _Placing:
    """The geometry of one object in one frame, in plain numbers.

    Args:
        one: its masks and class.
        edges: edges of its full shape.
        left, up: [6] slopes of its rays, see `_view_frames`.
        ground, settings: see `place_objects`.
    """

    def __init__(
        self,
        one: MaskedObject,
        edges: MaskEdges,
        left: Sequence[float],
        up: Sequence[float],
        ground: GroundPlane | None,
        settings: PlacementSettings,
    ) -> None:
        self._one, self._edges, self._ground, self._settings = one, edges, ground, settings
        self._slope_left, self._slope_up = left, up

    def place(self, surface: "Surface | Unplaced | None") -> "_Box | Unplaced":
        """The object's box, by its surface where there is one, else on the ground."""
        if math.isnan(sum(self._slope_left) + sum(self._slope_up)):
            return Unplaced.NO_RAY
        if isinstance(surface, Surface):
            return self._at(_Estimate(surface.distance, surface.std, surface.std), Source.DEPTH)
        if self._ground is None:
            return surface or Unplaced.NO_GROUND
        found = self._cut_distance(self._ground) if self._edges.bottom.cut else self._foot_distance(self._ground)
        return found if isinstance(found, Unplaced) else self._at(found, Source.GROUND)

    def _foot_distance(self, ground: GroundPlane) -> "_Estimate | Unplaced":
        """Forward distance of the foot, from where its ray meets the ground."""
        settings, foot = self._settings, self._edges.bottom
        depression = -math.atan(self._slope_up[0])
        pixel = abs(depression + math.atan(self._slope_up[1]))
        distance = distance_on_ground(depression, ground.height)
        if not math.isfinite(distance):
            return Unplaced.HORIZON
        attitude = math.hypot(math.radians(settings.attitude_std_deg), pixel * foot.bias)
        noise = distance_std(distance, ground.height, pixel * foot.noise, 0.0)
        bias = distance_std(distance, ground.height, attitude, settings.ground_std)
        if math.hypot(noise, bias) > _LEAST_SURE * distance:
            return Unplaced.UNSURE
        return _Estimate(distance, noise, bias)

    def _cut_distance(self, ground: GroundPlane) -> "_Estimate | Unplaced":
        """Return the distance of an object whose foot the image cuts off.

        It follows from the height that objects of the class have, if the top is seen, and is at most that of the ground
        at the image's lower side.
        """
        profile = self._one.profile
        furthest = distance_on_ground(-math.atan(self._slope_up[0]), ground.height)
        above, slope = profile.height - ground.height, self._slope_up[2]
        if not self._edges.top.cut and above * slope > 0:
            distance = above / slope
            std = distance * profile.size_std / abs(above)
            if distance <= furthest and std <= _LEAST_SURE * distance:
                return _Estimate(distance, std, std)
        if not math.isfinite(furthest):
            return Unplaced.HORIZON
        # Anywhere between the camera and there.
        std = furthest / math.sqrt(12)
        return _Estimate(furthest / 2, std, std)

    def _at(self, near: "_Estimate", source: Source) -> "_Box | Unplaced":
        """The object's box, from the forward distance of its near side."""
        profile, edges = self._one.profile, self._edges
        if near.value > self._settings.max_range:
            return Unplaced.TOO_FAR
        thickness, thickness_std = profile.thickness(self._width(near.value))
        distance = near.value + thickness / 2
        across, left = self._across(distance)
        height, above = self._upright(near.value, thickness, source)
        return _Box(
            source=source,
            centre=(distance, left.value, above.value),
            noise=(near.noise, left.noise, above.noise),
            bias=(math.hypot(near.bias, thickness_std / 2), left.bias, above.bias),
            extent=(thickness, max(across, _LEAST_EXTENT), height),
            extent_std=(thickness_std, 2 * left.std, 2 * above.std),
            cut_off=edges.left.cut or edges.right.cut or edges.top.cut or edges.bottom.cut,
        )

    def _width(self, distance: float) -> float:
        """Extent across the line of sight: what is seen of it, or what is usual where the image cuts off more."""
        seen = (self._slope_left[3] - self._slope_left[4]) * distance
        cut = self._edges.left.cut or self._edges.right.cut
        return max(seen, self._one.profile.lateral[0]) if cut else seen

    def _across(self, distance: float) -> tuple[float, "_Estimate"]:
        """Extent across the line of sight, and how far to the left its middle is."""
        edges, across = self._edges, self._width(distance)
        left, right = self._slope_left[3] * distance, self._slope_left[4] * distance
        seen = left - right
        if edges.left.cut and edges.right.cut:
            return across, _Estimate((left + right) / 2, across / 2, across / 2)
        if edges.left.cut or edges.right.cut:
            missing = math.hypot(self._one.profile.lateral[1], (across - seen) / 2)
            middle = right + across / 2 if edges.left.cut else left - across / 2
            return across, _Estimate(middle, missing, missing)
        metres = seen / (edges.right.position - edges.left.position)
        noise = math.hypot(edges.left.noise, edges.right.noise) * metres / 2
        bias = math.hypot(edges.left.bias * metres / 2, edges.right.bias * metres / 2, _MIDDLE_STD * seen)
        return seen, _Estimate((left + right) / 2, noise, bias)

    def _upright(self, near: float, thickness: float, source: Source) -> tuple[float, "_Estimate"]:
        """Height, and how far above the camera its middle is."""
        edges, profile, slopes = self._edges, self._one.profile, self._slope_up
        # The highest pixel is of the near side where one looks up to it, and of the far side where one looks down.
        top_distance = near if slopes[2] > 0 else near + thickness
        metres = near * abs(slopes[0] - slopes[1])
        top = _Estimate(slopes[2] * top_distance, metres * edges.top.noise, metres * edges.top.bias)
        bottom = _Estimate(slopes[0] * near, metres * edges.bottom.noise, metres * edges.bottom.bias)
        if self._ground is not None and (source is Source.GROUND or edges.bottom.cut):
            bottom = _Estimate(-self._ground.height, 0.0, self._settings.ground_std)
        elif edges.bottom.cut:
            bottom = _Estimate(min(bottom.value, top.value - profile.height), profile.size_std, profile.size_std)
        if edges.top.cut:
            top = _Estimate(max(top.value, bottom.value + profile.height), profile.size_std, profile.size_std)
        height = max(top.value - bottom.value, _LEAST_EXTENT)
        noise, bias = math.hypot(top.noise, bottom.noise) / 2, math.hypot(top.bias, bottom.bias) / 2
        return height, _Estimate(bottom.value + height / 2, noise, bias)


class _Estimate(NamedTuple):
    """A length in metres, with the standard deviations of what differs from frame to frame and of what does not."""

    value: float
    noise: float
    bias: float

    @property
    def std(self) -> float:
        return math.hypot(self.noise, self.bias)
