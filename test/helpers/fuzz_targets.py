"""What the fuzzer feeds, and with what: every reader of files, and all that an image message goes through.

A target takes an input that hypothesis makes and returns; anything but its own errors is a finding. `test_fuzz.py` runs
them for a minute in continuous integration, `tools/fuzz.py` for as long as it is let.
"""

import contextlib
import pickle
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from damage import NUMBERS, ODD_YAML, damaged
from dataset_files import (
    two_objects,
    write_coco,
    write_fishbowl,
    write_sailvos,
    write_sailvos_json,
    write_video,
    write_ytvis,
)
from evaluation_data import HEIGHT, WIDTH
from fuzz_files import FILE_TARGETS
from fuzzing import Strategy, Target, file_target
from hypothesis import strategies as st
from image_bytes import compressed_image, raw_image
from networks import tiny_config, tiny_model

from a2vis_model import load_config, save_weights
from a2vis_model.backends.engine_cache import EngineCache
from a2vis_model.backends.parity import GateResult
from a2vis_model.data import ProblemLog, open_dataset
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import ScoreSettings, open_comparison
from a2vis_model.files.video_io import VideoInput
from a2vis_model.importers import read_checkpoint
from a2vis_model.tracking.tracks import FrameResult
from a2vis_model.training.checkpoint import Checkpoint
from a2vis_model.weights import load_weights
from a2vis_ros.planner.mask_codec import MaskError, RunLengthMask, decode_image
from a2vis_ros.stream.frame_queue import FrameQueue, Ledger
from a2vis_ros.stream.frames import Stamp
from a2vis_ros.stream.image_decoding import ENCODINGS, EncodedImage, ImageError, RawImage
from a2vis_ros.stream.image_message import read_image
from a2vis_ros.stream.intake import FrameIntake
from a2vis_ros.stream.pipeline import FramePipeline
from a2vis_ros.stream.turns import Turns
from a2vis_ros.wire.cdr import bytes_of, text_of


def _weights(folder: Path) -> list[bytes]:
    config = tiny_config()
    save_weights(folder / "w.safetensors", tiny_model(config), config, half=True)
    return [(folder / "w.safetensors").read_bytes()]


def _state() -> dict[str, Any]:
    return {"model": {"a.weight": torch.ones(2, 3), "b": torch.arange(3)}, "epoch": 3, "notes": ["x", (1, 2.5)]}


def _torch_files(folder: Path) -> list[bytes]:
    found = []
    for new in (True, False):
        torch.save(_state(), folder / "w.pth", _use_new_zipfile_serialization=new)
        found.append((folder / "w.pth").read_bytes())
    return found


def _pickles(folder: Path) -> list[bytes]:
    arrays = {"model": {"a": np.ones((2, 3), np.float32), "b": np.float64(2)}, "author": "me"}
    return [pickle.dumps(value, protocol) for protocol in (2, 4, 5) for value in (arrays, _state())]


def _checkpoints(folder: Path) -> list[bytes]:
    weights = {"a": torch.ones(3)}
    values = [{"name": "x"}, {"steps": 3}, None, weights, weights, {"state": {}}, {"scale": 1.0}]
    Checkpoint(3, *values, 0.5).save(folder / "last.pt")
    return [(folder / "last.pt").read_bytes()]


def _presets(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path("config/presets").glob("*.yaml")) if path.stem != "variants"]


def _dataset(write: Callable[..., Path], changed: str) -> Target:
    """A data set of which one file is damaged; all of it is read."""

    def inputs(folder: Path) -> Strategy:
        write(folder / "data", two_objects())
        return damaged([next((folder / "data").glob(changed)).read_bytes()])

    def run(content: bytes, folder: Path) -> None:
        root = folder / "data"
        if not root.exists():
            write(root, two_objects())
        next(root.glob(changed)).write_bytes(content)
        path = root if write in (write_fishbowl, write_sailvos) else next(root.glob(changed))
        problems = ProblemLog()
        dataset = open_dataset(path, problems=problems)
        for index in range(len(dataset)):
            with contextlib.suppress(A2VISError):
                video = dataset[index]
                for track in video.tracks:
                    for t in range(video.length):
                        track.visible_mask(t)
                        track.amodal_mask(t)
        str(list(problems))

    return Target(inputs, run)


def _results(folder: Path) -> list[bytes]:
    mask = {"size": [HEIGHT, WIDTH], "counts": "P" * 3}
    record = b'[{"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [%s, null], "amodal_segmentations": '
    text = str(mask).replace("'", '"').encode()
    return [record % text + b"[%s, null]}]" % text, b"[]"]


_TRUTH = (
    b'{"videos": [{"id": 1, "height": 48, "width": 64, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}], '
    b'"categories": [{"id": 1, "name": "cat"}], "annotations": [{"id": 1, "video_id": 1, "category_id": 1, '
    b'"segmentations": [{"size": [48, 64], "counts": [3000, 72]}, null], "areas": [72, null], "iscrowd": 0}]}'
)
_MOT = b"1,1,10,10,20,20,1,1,1\n2,1,11,10,20,20,0.5,1,0.5\n2,2,-1,0,5,5,1,7,1\n"
_MOTS = b"1 1 1 48 64 d0j0\n2 1 1 48 64 d0j0\n2 2 10 48 64 P1\n"


def _compare(truth: Path, predictions: Path) -> None:
    problems = ProblemLog()
    comparison = open_comparison(truth, predictions, None, ScoreSettings(), problems)
    for video in comparison.videos:
        for source in (comparison.truth, comparison.ranked):
            with contextlib.suppress(A2VISError):
                source.read(video)


def _read_truth(path: Path) -> None:
    path.with_name("results.json").write_bytes(b"[]")
    _compare(path, path.with_name("results.json"))


def _read_results(path: Path) -> None:
    path.with_name("truth.json").write_bytes(_TRUTH)
    _compare(path.with_name("truth.json"), path)


def _read_text(path: Path) -> None:
    truth = path.with_name("truth") / "a" / "gt" / "gt.txt"
    truth.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    for first, second in ((_MOT, content), (content, _MOT), (_MOTS, content), (content, _MOTS)):
        truth.write_bytes(first)
        (path.parent / "results").mkdir(exist_ok=True)
        (path.parent / "results" / "a.txt").write_bytes(second)
        with contextlib.suppress(A2VISError):
            _compare(truth.parent.parent.parent, path.parent / "results")


def _videos(folder: Path) -> list[bytes]:
    return [write_video(folder / f"v{suffix}").read_bytes() for suffix in (".mp4", ".mkv")]


def _read_video(path: Path) -> None:
    for _ in VideoInput.open(path).frames():
        pass


def _manifests(folder: Path) -> list[bytes]:
    return [next(_engine(folder).rglob("manifest.json")).read_bytes()]


_KEY = {"backend": "compile", "precision": "fp32", "weights": "0", "configuration": "0"}


def _engine(folder: Path) -> Path:
    cache = EngineCache(folder / "engines")
    with cache.unfinished() as unfinished:
        for name in ("frame.bin", "clip.bin"):
            (unfinished / name).write_bytes(b"x")
        cache.keep(unfinished, _KEY, GateResult(10, 1.0, 0.999, 1e-4, 1e-4, 1e-4, ()))
    return folder / "engines"


def _read_manifest(path: Path) -> None:
    root = path.parent / "engines"
    if not root.exists():
        _engine(path.parent)
    next(root.rglob("manifest.json")).write_bytes(path.read_bytes())
    cache = EngineCache(root)
    cache.near_misses({**_KEY, "torch": "other"})
    cache.find(_KEY)


_U32 = st.one_of(st.integers(0, 70), st.sampled_from([n for n in NUMBERS if n < 2**32]), st.integers(0, 2**32 - 1))


def _mask_inputs(folder: Path) -> Strategy:
    return st.tuples(_U32, _U32, _U32, _U32, st.lists(_U32, max_size=12), _U32, _U32)


def _read_mask(values: Any, folder: Path) -> None:
    x, y, width, height, counts, image_height, image_width = values
    mask = RunLengthMask(x, y, width, height, np.array(counts, np.uint32))
    assert decode_image(mask, image_height, image_width).sum() == mask.area


def image_messages(folder: Path) -> Strategy:
    """Lists of (seconds, nanoseconds, frame_id, image), as they could come from any publisher."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    suffixes = (".jpeg", ".png", ".webp", ".bmp")
    pictures = [*(cv2.imencode(suffix, noise)[1].tobytes() for suffix in suffixes), _bomb()]
    formats = st.one_of(
        st.sampled_from(["jpeg", "png", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed ", "16UC1; png"]),
        st.text(max_size=20),
    )
    side = st.one_of(st.integers(0, 40), st.sampled_from([2**13, 2**16, 2**31, 2**32 - 1]))
    raw = st.builds(
        RawImage,
        side,
        side,
        st.one_of(st.sampled_from(ENCODINGS), st.text(max_size=20)),
        st.booleans(),
        st.one_of(st.integers(0, 200), st.just(2**32 - 1)),
        st.one_of(st.binary(max_size=64), st.sampled_from([bytes(4096), b"B" * 10_000])).map(memoryview),
    )
    encoded = st.builds(EncodedImage, formats, damaged(pictures).map(memoryview))
    seconds = st.one_of(st.integers(0, 5), st.sampled_from([-(2**31), -1, 2**31 - 1]))
    nanoseconds = st.one_of(st.integers(0, 10**9), st.just(2**32 - 1))
    frame_id = st.one_of(st.sampled_from(["camera", ""]), st.text(max_size=30), st.just("\ufffd\n\x1b[2J" * 1000))
    return st.lists(st.tuples(seconds, nanoseconds, frame_id, st.one_of(raw, encoded)), min_size=1, max_size=8)


def _bomb() -> bytes:
    """A PNG of 200 bytes that says 8192x8192 and holds a row."""
    header = struct.pack(">IIBBBBB", 8192, 8192, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(8193))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _serialised_images(folder: Path) -> Strategy:
    messages = [*(raw_image(order, b"camera") for order in "<>"), compressed_image("<", b"camera", b"\xff\xd8")]
    return st.tuples(damaged(messages), st.booleans())


def _read_serialised(values: tuple[bytes, bool], folder: Path) -> None:
    content, compressed = values
    message = read_image(content, compressed=compressed)
    assert text_of(bytes_of(message.frame_id)) == message.frame_id
    assert len(message.image.data) <= len(content)


class _ModelError(Exception):
    """A model may fail in any way."""


class _Tracker:
    """In place of a model; it fails where an image begins with 66."""

    epoch = 0

    def push(self, image: Any, timestamp: float) -> list[Any]:
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        if image[0, 0, 0] == 66:
            raise _ModelError
        height, width = image.shape[:2]
        return [FrameResult(0, timestamp, self.epoch, height, width, ())]

    def flush(self) -> list[Any]:
        return []

    def reset(self) -> None:
        self.epoch += 1


def _take_images(messages: Any, folder: Path) -> None:
    """What the subscription's callback and the worker do with them; every image is in the books afterwards."""
    ledger = Ledger()
    intake = FrameIntake(ledger, max_gap_s=1.0, max_image_side=4096)
    turns = Turns()
    queue = FrameQueue(policy="latest", capacity=1, patience_s=0.0, ledger=ledger, changed=turns.changed)
    turns.add(queue)
    pipeline = FramePipeline(_Tracker(), ledger, on_epoch=lambda reason: _check_text(reason))
    for index, (seconds, nanoseconds, frame_id, image) in enumerate(messages):
        try:
            queue.put(intake.accept(Stamp(seconds, nanoseconds), frame_id, image))
        except ImageError as error:
            _check_text(str(error))
        if index % 3 == 2 and (taken := turns.take(0.0)) is not None:
            frame = taken[1]
            pipeline.enter(frame)
            try:
                pipeline.process(frame)
            except ImageError as error:
                _check_text(str(error))
            except _ModelError:
                pass
        assert ledger.read().balanced
    queue.close()
    books = ledger.read()
    assert books.balanced
    assert books.in_flight == 0
    assert books.received == len(messages)


def _check_text(text: str) -> None:
    assert text.isprintable()
    assert len(text) < 1000


TARGETS: dict[str, Target] = {
    "weight files": file_target("w.safetensors", _weights, load_weights),
    "foreign weights, safetensors": file_target("w.safetensors", _weights, read_checkpoint),
    "foreign weights, torch": file_target("w.pth", _torch_files, read_checkpoint),
    "foreign weights, pickle": file_target("w.pkl", _pickles, read_checkpoint),
    "training checkpoints": file_target("last.pt", _checkpoints, Checkpoint.load),
    "configurations": file_target("c.yaml", _presets, lambda path: load_config(str(path)), words=ODD_YAML),
    "engine manifests": file_target("m.json", _manifests, _read_manifest),
    "data sets, YouTube-VIS": _dataset(write_ytvis, "annotations/train.json"),
    "data sets, FISHBOWL": _dataset(write_fishbowl, "00012/objects.json"),
    "data sets, SAIL-VOS": _dataset(write_sailvos_json, "train.json"),
    "data sets, SAIL-VOS folders, visible": _dataset(write_sailvos, "a_scene/visible/000003.npy"),
    "data sets, SAIL-VOS folders, amodal": _dataset(write_sailvos, "a_scene/*_truck/000003.png"),
    "data sets, amodal COCO": _dataset(write_coco, "kins.json"),
    "tracks, ground truth": file_target("truth.json", lambda folder: [_TRUTH], _read_truth),
    "tracks, results": file_target("results.json", _results, _read_results),
    "tracks, MOT and MOTS text": file_target("a.txt", lambda folder: [_MOT, _MOTS], _read_text),
    "videos": file_target("v.mp4", _videos, _read_video),
    "masks of messages": Target(_mask_inputs, _read_mask, (MaskError,)),
    "image messages": Target(image_messages, _take_images, ()),
    "image messages, serialised": Target(_serialised_images, _read_serialised, (ImageError,)),
    **FILE_TARGETS,
}


@contextlib.contextmanager
def feeding(target: Target) -> Iterator[tuple[Strategy, Callable[[Any], None]]]:
    """The strategy of a target's inputs, and what takes one; raises what is a finding."""
    with tempfile.TemporaryDirectory() as name:
        made, used = Path(name, "made"), Path(name, "used")
        made.mkdir()
        used.mkdir()

        def take(content: Any) -> None:
            with contextlib.suppress(*target.errors):
                target.run(content, used)

        yield target.inputs(made), take
