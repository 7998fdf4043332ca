"""What is read of folders of cut-outs and photographs, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from composed_clips import folder, pictures
from pictures import cut_out, save, scenery

from a2vis_model.data.problems import ProblemLog
from a2vis_model.errors import A2VISError
from a2vis_model.render.cutouts import load_pictures
from a2vis_model.render.traits import traits_of

__all__ = ["folder", "pictures"]


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


# Reading pictures


def test_cutouts_are_read_by_class_and_cropped(pictures):
    assert pictures.classes == ("car", "dog", "person", "truck")
    assert len(pictures.cutouts["person"]) == 6
    assert pictures.cutouts["person"][0].pixels.shape == (40, 16, 4)
    assert len(pictures.backgrounds) == 2


def test_what_cannot_be_used_is_left_out_and_named_with_its_remedy(tmp_path, folder):
    good = cut_out(20, 20, (200, 0, 0))
    cutouts = tmp_path / "cutouts" / "cat"
    save(cutouts / "good.png", good)
    (cutouts / "broken.webp").write_bytes(b"RIFF")
    (cutouts / "empty.png").write_bytes(b"")
    save(cutouts / "opaque.png", np.full((20, 20, 4), 255, np.uint8))
    save(cutouts / "flat.png", good[..., :3])
    save(cutouts / "nothing.png", np.zeros((20, 20, 4), np.uint8))
    save(cutouts / "small.png", good[:5, :5])
    save(cutouts / "speck.png", cut_out(4, 4, (200, 0, 0), margin=20))
    (cutouts / "notes.txt").write_text("not a picture")
    (tmp_path / "cutouts" / "dog").mkdir()
    problems = ProblemLog()
    found = load_pictures(tmp_path / "cutouts", folder / "backgrounds", problems)
    assert [cutout.file for cutout in found.cutouts["cat"]] == ["cat/good.png"]
    assert found.classes == ("cat",)
    messages = {Path(problem.file).name: problem.message for problem in problems}
    remedies = {
        "broken.webp": "cannot be decoded; replace",
        "empty.png": "cannot be decoded; replace",
        "opaque.png": "make its background transparent",
        "flat.png": "no alpha channel; save",
        "nothing.png": "give a larger one",
        "small.png": "is 5x5 pixels; give one of at least 8x8",
        "speck.png": "give a larger one",
        "dog": "holds no .png, .webp; put pictures there",
    }
    assert set(messages) == set(remedies)
    for name, text in remedies.items():
        assert text in messages[name]


def test_damaged_backgrounds_are_left_out_and_named(folder, tmp_path):
    backgrounds = tmp_path / "backgrounds"
    shutil.copytree(folder / "backgrounds", backgrounds)
    whole = cv2.imencode(".jpg", scenery(0))[1].tobytes()
    (backgrounds / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (backgrounds / "none.png").write_bytes(b"no picture")
    os.mkfifo(backgrounds / "pipe.jpg")
    problems = ProblemLog()
    found = load_pictures(folder / "cutouts", backgrounds, problems)
    assert len(found.backgrounds) == 2
    assert [Path(problem.file).name for problem in problems] == ["half.jpg", "none.png", "pipe.jpg"]
    assert "is damaged" in str(next(iter(problems)))


def test_sixteen_bits_and_grey_backgrounds_are_read(tmp_path):
    pixels = cut_out(20, 20, (200, 100, 0)).astype(np.uint16) * 257
    (tmp_path / "cutouts" / "cat").mkdir(parents=True)
    (tmp_path / "backgrounds").mkdir()
    cv2.imwrite(str(tmp_path / "cutouts" / "cat" / "deep.png"), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    cv2.imwrite(str(tmp_path / "backgrounds" / "grey.png"), scenery(0)[..., 0])
    found = load_pictures(tmp_path / "cutouts", tmp_path / "backgrounds", ProblemLog(strict=True))
    assert found.cutouts["cat"][0].pixels[10, 10].tolist() == [200, 100, 0, 255]
    assert np.array_equal(found.backgrounds[0][..., 1], scenery(0)[..., 0])


def test_large_pictures_are_shrunk(tmp_path):
    save(tmp_path / "cutouts" / "cat" / "large.png", cut_out(900, 300, (200, 0, 0)))
    save(tmp_path / "backgrounds" / "large.jpg", cv2.resize(scenery(0), (1600, 900)))
    found = load_pictures(tmp_path / "cutouts", tmp_path / "backgrounds", ProblemLog(strict=True))
    assert found.cutouts["cat"][0].pixels.shape[:2] == (400, 133)
    assert found.backgrounds[0].shape == (450, 800, 3)


@pytest.mark.parametrize(
    ("cutouts", "backgrounds", "classes", "message"),
    [
        ("absent", "backgrounds", None, "absent: there is no such folder; name the one"),
        ("cutouts", "absent", None, "absent: there is no such folder; name the one"),
        ("backgrounds", "backgrounds", None, "has no folders; put cut-outs there as CLASS/*.png"),
        ("unusable", "backgrounds", None, "no picture in it can be used; give PNG or WebP files with an alpha channel"),
        ("cutouts", "cutouts", None, "no picture in it can be used; give JPEG, PNG or WebP"),
        ("cutouts", "backgrounds", ["cat", "cow"], "none of the classes cat, cow; give --classes some of its"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_one_line(folder, cutouts, backgrounds, classes, message):
    save(folder / "unusable" / "cat" / "flat.png", scenery(0))
    with pytest.raises(A2VISError) as error:
        load_pictures(folder / cutouts, folder / backgrounds, ProblemLog(), classes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_sizes_of_classes_are_read_and_checked(tmp_path, folder):
    save(tmp_path / "cone" / "a.png", cut_out(20, 20, (200, 100, 0)))
    save(tmp_path / "person" / "a.png", cut_out(40, 16, (200, 100, 0)))
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps({"cone": 0.7, "person": -1}))
    problems = ProblemLog()
    found = load_pictures(tmp_path, folder / "backgrounds", problems)
    assert traits_of("cone", found.sizes).metres == 0.7
    assert traits_of("person", found.sizes).metres == 1.7
    assert [str(problem) for problem in problems] == [f"{sizes}: person: is -1; give metres from 0.02 to 30"]
    sizes.unlink()
    problems = ProblemLog()
    assert traits_of("cone", load_pictures(tmp_path, folder / "backgrounds", problems).sizes).metres == 1.0
    assert [(p.record, "sizes.json" in p.message) for p in problems] == [("cone", True)]
    sizes.write_text("[]")
    with pytest.raises(A2VISError, match="write metres by class"):
        load_pictures(tmp_path, folder / "backgrounds", ProblemLog())
