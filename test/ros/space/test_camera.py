"""Pixels to rays and back, for every lens model, and calibrations that cannot be used."""

from types import SimpleNamespace

import numpy as np
import pytest

from a2vis_ros.space.camera import CameraError, CameraModel

LENSES = {
    "none": ("plumb_bob", ()),
    "plumb_bob": ("plumb_bob", (-0.28, 0.07, 0.0004, -0.0002, 0.0)),
    "rational_polynomial": ("rational_polynomial", (0.5, -2.6, 0.0004, -0.0002, 1.5, 0.38, -2.4, 1.4)),
    "equidistant": ("equidistant", (-0.02, 0.005, -0.004, 0.0008)),
}


def camera(lens: str) -> CameraModel:
    model, coefficients = LENSES[lens]
    return CameraModel(640, 480, 380.0, 382.0, 318.2, 241.7, model, coefficients, "camera")


@pytest.mark.parametrize("lens", LENSES)
def test_points_come_back_from_their_pixels(lens: str) -> None:
    points = np.array([[0, 0, 1], [0.5, -0.3, 1], [-0.6, 0.4, 1], [1.2, 0.9, 2], [-4.0, -2.0, 8]], float)
    pixels = camera(lens).project(points)
    rays = camera(lens).rays(pixels)
    assert np.allclose(rays, points / points[:, 2:], atol=1e-5)


def test_distortion_changes_the_ray() -> None:
    corner = [[5.0, 5.0]]
    straight = camera("none").rays(corner)
    for lens in ("plumb_bob", "equidistant"):
        assert np.linalg.norm(camera(lens).rays(corner) - straight) > 0.05


def test_the_grid_of_rays_is_that_of_the_pixels() -> None:
    lens = camera("plumb_bob")
    u, v = np.array([0, 100, 639, 320]), np.array([0, 300, 479, 240])
    exact = lens.rays(np.column_stack([u, v]).astype(float))
    for axis, direction in enumerate(np.eye(3)):
        assert np.abs(lens.coarse_along(u, v, direction) - exact[:, axis]).max() < 2.5 / 300
    # Pixels in rows and columns, and a direction for each row of them.
    turned = lens.coarse_along(u, v[:, None], np.eye(3)[:, [0, 1, 2, 0], None])
    assert turned.shape == (4, 4)
    assert np.abs(turned[1] - lens.coarse_along(u, v[1], np.eye(3)[1])).max() < 1e-12


def test_what_the_lens_cannot_see_has_no_ray() -> None:
    # Beyond some radius this lens maps two directions to one pixel.
    lens = CameraModel(640, 480, 380.0, 380.0, 319.5, 239.5, "plumb_bob", (-0.9, 0.0, 0.0, 0.0), "camera")
    rays = lens.rays([[319.5, 239.5], [5000.0, 240.0]])
    assert np.isfinite(rays[0]).all()
    assert np.isnan(rays[1]).all()


def test_what_is_behind_the_camera_has_no_pixel() -> None:
    for lens in LENSES:
        pixels = camera(lens).project(np.array([[0.1, 0.1, -1.0], [0.0, 0, 0], [np.nan, 0, 1], [0, 0, 1]]))
        assert np.isnan(pixels[:3]).all()
        assert np.isfinite(pixels[3]).all()


def info(**changes: object) -> SimpleNamespace:
    values: dict[str, object] = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [0.1, 0.0, 0.0, 0.0, 0.0],
        "k": [500.0, 0, 320, 0, 510, 240, 0, 0, 1],
        "p": [450.0, 0, 300, 0, 0, 460, 230, 0, 0, 0, 1, 0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
        "header": SimpleNamespace(frame_id="optical"),
    }
    return SimpleNamespace(**values | changes)


def test_a_rectified_image_has_the_intrinsics_of_p_and_no_distortion() -> None:
    found = CameraModel.from_camera_info(info(), rectified=True)
    assert (found.fx, found.fy, found.cx, found.cy, found.distortion) == (450, 460, 300, 230, ())
    found = CameraModel.from_camera_info(info())
    assert (found.fx, found.fy, found.cx, found.cy, found.frame_id) == (500, 510, 320, 240, "optical")
    assert found.distortion == (0.1, 0, 0, 0, 0)


def test_region_and_binning_are_those_of_the_image() -> None:
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=400, height=400)
    found = CameraModel.from_camera_info(info(roi=roi, binning_x=2, binning_y=2))
    assert (found.width, found.height, found.fx, found.fy) == (200, 200, 250, 255)
    # The full sensor's pixels 100 and 101 are the image's first.
    assert found.cx == pytest.approx((320 - 100 - 0.5) / 2)
    found.check_image(200, 200)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": [0.0] * 9}, "focal length of fx=0"),
        ({"k": [500.0, 0, 320, 0, -1, 240, 0, 0, 1]}, "fy=-1"),
        ({"k": [np.nan, 0, 320, 0, 500, 240, 0, 0, 1]}, "no finite numbers"),
        ({"width": 0}, "0x480"),
        ({"width": 2**31}, "2147483648x480"),
        ({"d": [0.1, 0.2, 0.3]}, "3 coefficients"),
        ({"distortion_model": "thin_prism"}, "'thin_prism'"),
        ({"d": [np.inf, 0, 0, 0, 0]}, "no finite numbers"),
    ],
)
def test_an_unusable_calibration_says_why(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CameraError, match=words):
        CameraModel.from_camera_info(info(**changes))


def test_a_camera_of_another_size_is_refused() -> None:
    with pytest.raises(CameraError, match="camera_info is of 640x480 images, and the tracks are of 1280x720"):
        camera("none").check_image(720, 1280)
