"""A camera: pixels to rays and back, with lens distortion. No ROS.

Points are in the optical frame of REP 103: x right, y down, z along the optical axis, metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import MAX_PIXELS

PLUMB_BOB, RATIONAL_POLYNOMIAL, EQUIDISTANT = "plumb_bob", "rational_polynomial", "equidistant"
DISTORTION_MODELS = (PLUMB_BOB, RATIONAL_POLYNOMIAL, EQUIDISTANT)
"""Distortion models of sensor_msgs/distortion_models.hpp."""
_COEFFICIENTS = {PLUMB_BOB: (4, 5), RATIONAL_POLYNOMIAL: (8, 12, 14), EQUIDISTANT: (4,)}
"""Numbers of coefficients that each distortion model may have."""
_ITERATIONS = 30
"""Undistortion has no closed form. OpenCV's default of 5 steps is out by pixels in the corners of wide lenses."""
_RESIDUAL_PX = 0.5
"""A ray which comes back further from its pixel than this was not found."""
_GRID = 4
"""Pixels between the rays that are kept ready."""
_ZERO = np.zeros(3)
"""Points are in the camera's own frame."""


class CameraError(ValueError):
    """A calibration that no position can be computed with. The message names the field, the value and the remedy."""


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of a pinhole or fisheye camera, those of the image as it is and not of the full sensor."""

    width: int
    """Width of the image in pixels."""
    height: int
    fx: float
    """Focal lengths in pixels."""
    fy: float
    cx: float
    """Principal point in pixels; (0, 0) is the centre of the upper left pixel."""
    cy: float
    distortion_model: str = PLUMB_BOB
    distortion: tuple[float, ...] = ()
    """Coefficients in OpenCV's order; empty for a rectified image."""
    frame_id: str = ""
    """Name of the optical frame."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.width * self.height > MAX_PIXELS:
            raise CameraError(
                f"camera_info says {self.width}x{self.height}, which is no image that can be handled; "
                "have the driver fill in its size"
            )
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not np.isfinite(values).all():
            raise CameraError("camera_info holds values that are no finite numbers; calibrate the camera")
        for name, value in (("fx", self.fx), ("fy", self.fy)):
            if value <= 0:
                raise CameraError(
                    f"camera_info has a focal length of {name}={value:g}: the camera is not calibrated; calibrate it "
                    "(camera_calibration), or have the driver load its calibration"
                )
        if not any(self.distortion):
            object.__setattr__(self, "distortion", ())
            return
        if self.distortion_model not in DISTORTION_MODELS:
            raise CameraError(
                f"camera_info has distortion_model={self.distortion_model!r:.60}, which is none of "
                f"{', '.join(DISTORTION_MODELS)}; use the rectified image, and set image_is_rectified"
            )
        allowed = _COEFFICIENTS[self.distortion_model]
        if len(self.distortion) not in allowed:
            raise CameraError(
                f"camera_info has {len(self.distortion)} coefficients of distortion, and {self.distortion_model} has "
                f"{' or '.join(map(str, allowed))}; calibrate the camera again"
            )

    @classmethod
    def from_camera_info(cls, info: Any, *, rectified: bool = False) -> "CameraModel":
        """The camera of a sensor_msgs/CameraInfo, or of an object with its fields.

        Args:
            info: its K and D, or P, are of the full sensor. Region of interest and binning are those of the image.
            rectified: the image is a rectified one, whose intrinsics are in P and which has no distortion.

        Raises:
            CameraError: it is not calibrated, or in a way that is not known.
        """
        if rectified:
            p = np.asarray(info.p, np.float64).reshape(3, 4)
            fx, fy, cx, cy = p[0, 0], p[1, 1], p[0, 2], p[1, 2]
            distortion: tuple[float, ...] = ()
        else:
            k = np.asarray(info.k, np.float64).reshape(3, 3)
            fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
            distortion = tuple(float(value) for value in info.d)
        width, height = int(info.width), int(info.height)
        roi = info.roi
        if roi.width and roi.height:
            width, height = int(roi.width), int(roi.height)
            cx, cy = cx - roi.x_offset, cy - roi.y_offset
        # 0 and 1 mean the same there. The centre of a binned pixel lies between those that it is made of.
        step_x, step_y = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
        return cls(
            width=width // step_x,
            height=height // step_y,
            fx=float(fx) / step_x,
            fy=float(fy) / step_y,
            cx=(float(cx) + 0.5) / step_x - 0.5,
            cy=(float(cy) + 0.5) / step_y - 0.5,
            distortion_model=str(info.distortion_model),
            distortion=distortion,
            frame_id=str(info.header.frame_id),
        )

    def check_image(self, height: int, width: int) -> None:
        """Raises CameraError unless the calibration is of images of this size."""
        if (height, width) != (self.height, self.width):
            raise CameraError(
                f"camera_info is of {self.width}x{self.height} images, and the tracks are of {width}x{height} ones; "
                "give the camera_info that belongs to the image, with its region of interest and binning"
            )

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """[3, 3] K; not to be written to."""
        found = np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])
        found.setflags(write=False)
        return found

    @cached_property
    def _coefficients(self) -> NDArray[np.float64]:
        """[4], [5], [8], [12] or [14] coefficients of the distortion."""
        return np.array(self.distortion)

    def rays(self, pixels: Sequence[Sequence[float]] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions of pixels.

        Args:
            pixels: [N, 2] u, v.

        Returns:
            [N, 3] with z = 1; NaN where the lens has no such ray, or one at more than 90 degrees from the axis.
        """
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        if not len(uv):
            return np.zeros((0, 3))
        if not self.distortion:
            xy = (uv - (self.cx, self.cy)) / (self.fx, self.fy)
            return np.column_stack([xy, np.ones(len(xy))])
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, 1e-9)
        coefficients = self._coefficients
        if self.distortion_model == EQUIDISTANT:
            found = cv2.fisheye.undistortPoints(uv[:, None], self.matrix, coefficients, criteria=criteria)
        else:
            found = cv2.undistortPoints(uv[:, None], self.matrix, coefficients, criteria=criteria)
        rays = np.ones((len(uv), 3))
        rays[:, :2] = np.asarray(found).reshape(-1, 2)
        with np.errstate(invalid="ignore", over="ignore"):
            off = self._distorted(rays) - uv
            # Written so that NaN fails too.
            rays[~((off * off).sum(axis=1) < _RESIDUAL_PX**2)] = np.nan
        return rays

    def coarse_along(
        self, u: NDArray[np.intp], v: NDArray[np.intp], directions: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Components along some directions of the rays of pixels, without undistorting each: exact to 2 pixels.

        Args:
            u: [...] columns inside the image.
            v: [...] rows.
            directions: [3, ...] in the optical frame. All three may be of other shapes that NumPy broadcasts.

        Returns:
            [...] for rays as `rays` gives them, with z = 1.
        """
        x, y = self._ray_grid
        cells = v // _GRID * -(-self.width // _GRID) + u // _GRID
        found: NDArray[np.float64] = x.take(cells) * directions[0] + y.take(cells) * directions[1] + directions[2]
        return found

    @cached_property
    def _ray_grid(self) -> NDArray[np.float64]:
        """[2, ceil(H / 4) * ceil(W / 4)] x and y of the rays of the cells' centres."""
        rows, columns = np.arange(0, self.height, _GRID), np.arange(0, self.width, _GRID)
        u, v = np.meshgrid(columns + (_GRID - 1) / 2, rows + (_GRID - 1) / 2)
        return np.ascontiguousarray(self.rays(np.column_stack([u.ravel(), v.ravel()]))[:, :2].T)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of points.

        Args:
            points: [N, 3] in the optical frame.

        Returns:
            [N, 2] u, v, which may be outside the image; NaN for points that are not in front of the camera.
        """
        xyz = np.asarray(points, np.float64).reshape(-1, 3)
        front = xyz[:, 2] > 1e-6
        safe = np.where(front[:, None], xyz, (0.0, 0.0, 1.0))
        if not self.distortion:
            uv = safe[:, :2] / safe[:, 2:] * (self.fx, self.fy) + (self.cx, self.cy)
        else:
            # Beyond what the lens can see OpenCV may be given, and give, what is no number.
            uv = self._distorted(np.where(np.isfinite(safe).all(axis=1, keepdims=True), safe, (0.0, 0.0, 1.0)))
        front &= np.isfinite(xyz).all(axis=1)
        return np.where(front[:, None], uv, np.nan)

    def _distorted(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 2] pixels of points [N, 3] before a lens that distorts; anything for what it cannot see."""
        project = cv2.fisheye.projectPoints if self.distortion_model == EQUIDISTANT else cv2.projectPoints
        found, _ = project(points[:, None], _ZERO, _ZERO, self.matrix, self._coefficients)
        return np.asarray(found, np.float64).reshape(-1, 2)
