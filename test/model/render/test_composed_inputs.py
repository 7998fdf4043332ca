"""What is read of folders of cut-outs and photographs, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from composed_clips import folder, pictures
from image_files import huge_png
from pictures import cut_out, save, scenery
from PIL import Image

from a2vis_model.data.problems import ProblemLog
from a2vis_model.errors import A2VISError
from a2vis_model.files.images import turn_upright
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
        "broken.webp": "cannot be read: not an image (PNG, JPEG, BMP, TIFF, WEBP), or a broken one; replace",
        "empty.png": "cannot be read: not an image (PNG, JPEG, BMP, TIFF, WEBP), or a broken one; replace",
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


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path, folder, monkeypatch):
    cutouts, backgrounds = tmp_path / "cutouts" / "cat", tmp_path / "backgrounds"
    shutil.copytree(folder / "backgrounds", backgrounds)
    save(cutouts / "good.png", cut_out(20, 20, (200, 0, 0)))
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: decoded.append(len(data)) or decode(data, flags))
    for path in (cutouts / "huge.png", backgrounds / "huge.png"):
        path.write_bytes(huge_png(12288))
    problems = ProblemLog()
    found = load_pictures(tmp_path / "cutouts", backgrounds, problems)
    assert (len(found.cutouts["cat"]), len(found.backgrounds)) == (1, 2)
    assert ["too large: 12288x12288 pixels where 67,108,864" in problem.message for problem in problems] == [True, True]
    assert len(huge_png(12288)) not in decoded


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_cutouts_are_read_upright_as_photographs_are(tmp_path, folder, orientation, suffix):
    upright = cut_out(40, 16, (200, 100, 0))
    upright[:20, :, 2] = 90
    stored = turn_upright(upright, {6: 8, 8: 6}.get(orientation, orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "cutouts" / "cat").mkdir(parents=True)
    Image.fromarray(stored).save(tmp_path / "cutouts" / "cat" / f"a{suffix}", exif=exif, lossless=True)
    (cutout,) = load_pictures(tmp_path / "cutouts", folder / "backgrounds", ProblemLog(strict=True)).cutouts["cat"]
    assert cutout.pixels.shape == (40, 16, 4)
    assert cutout.pixels[10, 8].tolist() == [200, 100, 90, 255]
    assert cutout.pixels[30, 8].tolist() == [200, 100, 0, 255]


def test_hidden_files_and_folders_are_passed_over(tmp_path, folder):
    root = tmp_path / "pictures"
    shutil.copytree(folder, root)
    for hidden in ("cutouts/person/._0.png", "cutouts/.git/a.png", "backgrounds/._0.png"):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_bytes(b"a resource fork of macOS")
    whole = load_pictures(folder / "cutouts", folder / "backgrounds", ProblemLog(strict=True))
    found = load_pictures(root / "cutouts", root / "backgrounds", ProblemLog(strict=True))
    assert found.digest == whole.digest
    assert found.classes == whole.classes


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
