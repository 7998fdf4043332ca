"""A photograph as a place: its lower part lies on the ground, the rest stands upright at the far end.

Thus the ground moves correctly under the feet of things, and distant things move less, when the camera pans, rides
or zooms ("tour into the picture", Horry et al., 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .texture import Rng

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Backdrop:
    """A photograph placed in the world: the ground is the plane y = 0, the upright part the plane z = `depth`.

    Attributes:
        photo: the photograph, uint8 RGB [h, w, 3].
        to_photo: homography [3, 3] from the camera's pixels to the photo's.
        camera: camera that took the photograph.
        depth: distance of the upright part in metres.
    """

    photo: NDArray[np.uint8]
    to_photo: Matrix
    camera: Camera
    depth: float

    def view(self, camera: Camera) -> NDArray[np.uint8]:
        """Return the view [H, W, 3] of the place from `camera`."""
        picture = self._warp(_upright_plane(self.camera, self.depth), _upright_plane(camera, self.depth), camera, 0)
        edge = _far_edge(camera, self.depth)
        top = int(np.clip(np.floor(edge.min()), 0, camera.height))
        if top < camera.height:
            ground = self._warp(_ground_plane(self.camera), _ground_plane(camera), camera, top)
            below = np.arange(top, camera.height)[:, None] > edge
            cv2.copyTo(ground, below.view(np.uint8), picture[top:])
        return picture

    def _warp(self, then: Matrix, now: Matrix, camera: Camera, top: int) -> NDArray[np.uint8]:
        """Return the rows of the view from `top` on, of one plane.

        `then` projects the plane to the photograph's camera, `now` to the view's.
        """
        shift = np.array([[1, 0, 0], [0, 1, top], [0, 0, 1]], np.float64)
        matrix = self.to_photo @ then @ np.linalg.inv(now) @ shift
        size = (camera.width, camera.height - top)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpPerspective(self.photo, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.uint8
        )


def sample_backdrop(rng: Rng, photo: NDArray[np.uint8], camera: Camera, depth: float) -> Backdrop:
    """Place `photo`, possibly mirrored, so that it covers the picture of `camera` with some room around it."""
    if rng.uniform() < 0.5:
        photo = np.ascontiguousarray(photo[:, ::-1])
    height, width = photo.shape[:2]
    scale = max(camera.width / width, camera.height / height) * float(rng.uniform(1.0, 1.25))
    # More is cut off at the top, where there is less ground.
    room = np.array([width - camera.width / scale, height - camera.height / scale])
    left, top = room * (rng.uniform(0, 1), rng.uniform(0.3, 1))
    to_photo = np.array([[1 / scale, 0, left], [0, 1 / scale, top], [0, 0, 1]], np.float64)
    return Backdrop(photo, to_photo, camera, depth)


def _projection(camera: Camera) -> tuple[Matrix, Matrix]:
    """Return the maps from world directions to homogeneous pixels [3, 3], and from the camera's position to [3]."""
    x, y = camera.centre
    intrinsic = np.array([[camera.focal, 0, x], [0, camera.focal, y], [0, 0, 1]], np.float64)
    matrix = intrinsic @ camera.rotation
    return matrix, matrix @ camera.position


def _ground_plane(camera: Camera) -> Matrix:
    """Return the map from (x, z, 1) on the ground to homogeneous pixels."""
    matrix, origin = _projection(camera)
    return np.stack([matrix[:, 0], matrix[:, 2], -origin], axis=1)


def _upright_plane(camera: Camera, depth: float) -> Matrix:
    """Return the map from (x, y, 1) on the plane z = `depth` to homogeneous pixels."""
    matrix, origin = _projection(camera)
    return np.stack([matrix[:, 0], matrix[:, 1], matrix[:, 2] * depth - origin], axis=1)


def _far_edge(camera: Camera, depth: float) -> NDArray[np.float64]:
    """Return the row at which ground and upright part meet, for each column [W]."""
    ends = _ground_plane(camera) @ np.array([[-1.0, 1.0], [depth, depth], [1, 1]])
    (left, right), (left_y, right_y) = ends[:2] / ends[2]
    slope = (right_y - left_y) / (right - left)
    return left_y + slope * (np.arange(camera.width) - left)
