"""Rigid transforms between frames, and where they come from. No ROS."""

import bisect
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from a2vis_model.errors import printable

CACHE_S = 30.0
"""A buffer keeps transforms for so long, in seconds before the newest of the same frame."""

_NEXT, _LAST = [1, 2, 0], [2, 0, 1]
"""Indices of the axis after each of x, y and z, and of the axis before it, going round."""


class TransformError(LookupError):
    """There is no transform. The message names frames, time and remedy."""


class TransformTooNewError(TransformError):
    """A transform of that time may still come: the newest known one is older."""


@dataclass(frozen=True)
class RigidTransform:
    """Takes coordinates in a source frame to those in a target frame: x_target = rotation @ x_source + translation."""

    rotation: NDArray[np.float64]
    """[3, 3]"""
    translation: NDArray[np.float64]
    """[3] in metres: the source frame's origin in the target frame."""

    @classmethod
    def identity(cls) -> "RigidTransform":
        """Return the transform of a frame to itself."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(
        cls, translation: tuple[float, float, float], quaternion: tuple[float, float, float, float]
    ) -> "RigidTransform":
        """Return the transform that a geometry_msgs/Transform states.

        Args:
            translation: x, y, z in metres.
            quaternion: x, y, z, w.

        Raises:
            TransformError: they are no numbers, or the quaternion is no rotation.
        """
        values = np.array([*translation, *quaternion], np.float64)
        norm = float(np.linalg.norm(values[3:]))
        # Written so that NaN fails too.
        if not (np.isfinite(values).all() and abs(norm - 1) < 0.01):
            raise TransformError(
                f"a transform has the quaternion {quaternion}, of length {norm:g}; its publisher is broken"
            )
        return cls(Rotation.from_quat(values[3:]).as_matrix(), values[:3])

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points [..., 3] of the source frame in the target frame."""
        return points @ self.rotation.T + self.translation

    def inverse(self) -> "RigidTransform":
        """Return the transform from target to source."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation)

    def __matmul__(self, other: "RigidTransform") -> "RigidTransform":
        """First the other, then this one."""
        return RigidTransform(self.rotation @ other.rotation, self.apply(other.translation))


def cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross products of vectors [..., 3]; NumPy's own takes several times as long for few of them."""
    return one[..., _NEXT] * other[..., _LAST] - one[..., _LAST] * other[..., _NEXT]


def quaternions(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions x, y, z, w of rotations [N, 3, 3], as SciPy gives them and in a tenth of its time: [N, 4].

    Four times the outer product of a quaternion with itself is linear in the rotation. Each of its rows is a multiple
    of the quaternion, and the one with the largest diagonal is the most exact.
    """
    m = rotations.transpose(1, 2, 0)
    products = np.empty((len(rotations), 4, 4))
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    products[:, 3, 3] = 1 + trace
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        products[:, i, i] = 1 - trace + 2 * m[i, i]
        products[:, i, j] = products[:, j, i] = m[i, j] + m[j, i]
        products[:, i, 3] = products[:, 3, i] = m[k, j] - m[j, k]
    largest = np.einsum("nii->ni", products).argmax(axis=1)
    found = products[np.arange(len(products)), largest]
    normed: NDArray[np.float64] = found / np.sqrt((found * found).sum(axis=1, keepdims=True))
    return normed


class TransformSource(Protocol):
    """Interface of what knows where frames are: tf2, a bag's transforms, or a fixed mounting."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """The transform that takes coordinates in `source` to those in `target` at a time in nanoseconds.

        Raises:
            TransformTooNewError: none of that time has come yet; asking again later may succeed.
            TransformError: there is none.
        """
        ...


class TransformBuffer:
    """Keeps stamped transforms of a tree of frames and interpolates between them. A TransformSource.

    For bags and tests; a live node asks tf2, which does the same.
    """

    def __init__(self, cache_s: float = CACHE_S) -> None:
        self._cache_ns = round(cache_s * 1e9)
        self._frames: dict[str, _History] = {}

    def add(self, parent: str, child: str, transform: RigidTransform, stamp_ns: int, *, static: bool = False) -> None:
        """Take one transform, which takes coordinates in `child` to those in `parent`.

        Args:
            parent: also known as header.frame_id.
            child: also known as child_frame_id. It has one parent at a time.
            transform: between the two.
            stamp_ns: its time in nanoseconds.
            static: it holds at all times.

        Raises:
            TransformError: the frames are the same.
        """
        parent, child = _plain(parent), _plain(child)
        if parent == child:
            raise TransformError(f"a transform of {child!r:.60} to itself; its publisher is broken")
        known = self._frames.get(child)
        if known is None or known.parent != parent or known.static != static:
            self._frames[child] = known = _History(parent, static)
        known.add(stamp_ns, transform, self._cache_ns)

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """Return the transform from source to target at a time; see `TransformSource.lookup`."""
        target, source = _plain(target), _plain(source)
        to_target = self._to_root(target, stamp_ns, until=source)
        to_source = self._to_root(source, stamp_ns, until=target)
        for frame, up_from_source in to_source.items():
            if frame in to_target:
                return to_target[frame].inverse() @ up_from_source
        for frame in (target, source):
            if frame not in self._names():
                known = printable(", ".join(sorted(self._names())[:10]), 200) or "none"
                raise TransformError(f"no transform names the frame {frame!r:.60}; known frames: {known}")
        raise TransformError(f"no transforms connect {source!r:.60} with {target!r:.60}; publish the one between them")

    def _names(self) -> set[str]:
        return set(self._frames) | {history.parent for history in self._frames.values()}

    def _to_root(self, frame: str, stamp_ns: int, until: str) -> dict[str, RigidTransform]:
        """Return the transforms from a frame to itself and to all those above it, nearest first."""
        found = {frame: RigidTransform.identity()}
        while frame != until and (history := self._frames.get(frame)) is not None:
            up = history.at(stamp_ns, frame) @ found[frame]
            frame = history.parent
            if frame in found:
                raise TransformError(f"the transforms above {frame!r:.60} go round in a circle; a frame has one parent")
            found[frame] = up
        return found


@dataclass
class _History:
    """A frame's transforms to its parent, by time."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    transforms: list[RigidTransform] = field(default_factory=list)

    def add(self, stamp_ns: int, transform: RigidTransform, cache_ns: int) -> None:
        if self.static:
            self.stamps, self.transforms = [stamp_ns], [transform]
            return
        if self.stamps and stamp_ns < self.stamps[-1] - cache_ns:
            # A bag that loops: what was known is of the time before.
            self.stamps, self.transforms = [], []
        at = bisect.bisect_left(self.stamps, stamp_ns)
        if at < len(self.stamps) and self.stamps[at] == stamp_ns:
            self.transforms[at] = transform
            return
        self.stamps.insert(at, stamp_ns)
        self.transforms.insert(at, transform)
        old = bisect.bisect_left(self.stamps, self.stamps[-1] - cache_ns)
        if old:
            del self.stamps[:old], self.transforms[:old]

    def at(self, stamp_ns: int, child: str) -> RigidTransform:
        if self.static:
            return self.transforms[0]
        first, last = self.stamps[0], self.stamps[-1]
        if stamp_ns > last:
            raise TransformTooNewError(
                f"the newest transform of {child!r:.60} in {self.parent!r:.60} is {(stamp_ns - last) * 1e-9:.3f} s "
                "older than the image; is its publisher running, and are its clock and the camera's the same?"
            )
        if stamp_ns < first:
            raise TransformError(
                f"the oldest transform of {child!r:.60} in {self.parent!r:.60} is {(first - stamp_ns) * 1e-9:.3f} s "
                "younger than the image; are the clocks of its publisher and of the camera the same?"
            )
        right = bisect.bisect_left(self.stamps, stamp_ns)
        if self.stamps[right] == stamp_ns:
            return self.transforms[right]
        before, after = self.transforms[right - 1], self.transforms[right]
        share = (stamp_ns - self.stamps[right - 1]) / (self.stamps[right] - self.stamps[right - 1])
        ends = Rotation.from_matrix(np.stack([before.rotation, after.rotation]))
        return RigidTransform(
            Slerp([0.0, 1.0], ends)(share).as_matrix(),
            (1 - share) * before.translation + share * after.translation,
        )


def _plain(frame: str) -> str:
    """A frame's name without the leading slash of ROS 1."""
    return frame.removeprefix("/")
