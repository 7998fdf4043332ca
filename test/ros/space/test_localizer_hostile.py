"""Whatever masks, depth and cameras come: an object has a finite place and a covariance, or none and a reason."""

import numpy as np
import pytest
from numpy.typing import NDArray
from worlds import track

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_box
from a2vis_ros.space.camera import CameraModel
from a2vis_ros.space.footprints import FootprintSettings, hidden_footprints
from a2vis_ros.space.localizer import Localizer, LocalizerSettings, Mounting, State, TrackFrame

HEIGHT, WIDTH = 60, 80
LENSES = {
    "none": ("plumb_bob", ()),
    "strong": ("plumb_bob", (-0.9, 0.3, 0.01, -0.01, 0.1)),
    "wide": ("equidistant", (-0.1, 0.02, 0.0, 0.0)),
}


def some_mask(rng: np.random.Generator) -> RunLengthMask:
    """Empty, a pixel, a stripe, scattered pixels, or all of the image."""
    x, y = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
    w, h = int(rng.integers(1, WIDTH - x + 1)), int(rng.integers(1, HEIGHT - y + 1))
    kind = rng.integers(5)
    if kind == 0:
        return RunLengthMask.empty()
    if kind == 1:
        return encode_box(np.ones((1, 1), np.bool_), x=x, y=y)
    if kind == 2:
        return encode_box(np.ones((HEIGHT, WIDTH), np.bool_), x=0, y=0)
    pixels = np.ones((h, w), np.bool_) if kind == 3 else rng.random((h, w)) < 0.3
    # The box of a mask is tight.
    pixels[0, :] = pixels[-1, :] = pixels[:, 0] = pixels[:, -1] = True
    return encode_box(pixels, x=x, y=y)


def some_depth(rng: np.random.Generator) -> NDArray[np.float32] | None:
    kind = rng.integers(4)
    if kind == 0:
        return None
    depth = rng.uniform(0.1, 30, (HEIGHT, WIDTH)).astype(np.float32)
    if kind == 1:
        depth[rng.random(depth.shape) < 0.7] = rng.choice([0.0, -1.0, np.nan, np.inf, 1e30, 1e-30])
    elif kind == 2:
        depth[:] = rng.choice([0.0, np.nan, np.inf, 1e-6, 3.0])
    return depth


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.filterwarnings("error")
def test_no_input_leads_to_a_wrong_number(lens: str) -> None:
    model, distortion = LENSES[lens]
    rng = np.random.default_rng(len(lens))
    settings = FootprintSettings(existence=0.0, sigma=2.0, max_growth=2.0, step=0.05)
    found = 0
    for _ in range(15):
        focal = float(rng.choice([1e-3, 40.0, 70.0, 1e4]))
        camera = CameraModel(WIDTH, HEIGHT, focal, focal, 39.5, 29.5, model, distortion, "camera")
        mounting = Mounting(
            float(rng.choice([0.05, 1.2, 30.0])), float(rng.uniform(-89, 89)), float(rng.uniform(-180, 180))
        )
        localizer = Localizer(LocalizerSettings(mounting=mounting if rng.random() < 0.8 else None))
        seconds = 1.0
        for _ in range(12):
            seconds += float(rng.choice([0.0, 0.01, 0.1, 1e4]))
            tracks = []
            for number in range(4):
                visible, amodal = some_mask(rng), some_mask(rng)
                state = State(rng.integers(5))
                tracks.append(
                    track(visible, amodal, track_id=number, state=state, class_name=str(rng.choice(["car", "x"])))
                )
            frame = TrackFrame(round(seconds * 1e9), "camera", HEIGHT, WIDTH, 1, 0, tracks)
            result = localizer.update(frame, camera, some_depth(rng))
            for one in result.objects:
                found += 1
                for values in (one.position, one.velocity, one.size, one.size_std, one.orientation):
                    assert np.isfinite(values).all()
                scale = np.abs(one.covariance).max()
                assert np.linalg.eigvalsh(one.covariance / scale).min() > -1e-6
                assert np.linalg.norm(one.orientation) == pytest.approx(1)
                assert 0 <= one.existence <= 1
                assert one.hidden_s >= 0
                for end in one.emergences:
                    assert np.isfinite(end.point).all()
                    assert end.earliest_s >= 0
            assert np.isfinite(hidden_footprints(result.objects, settings)).all()
    assert found > 100
