"""Compare the path of `onboard` with what a user would take instead: a YOLO that segments, and ByteTrack.

    pip install ultralytics 'a2vis_ros[openvino,baselines]'        # ultralytics is under the AGPL
    python benchmark/yolo.py --model yolo11n-seg --image 1280x720 --objects 18

Both networks run in OpenVINO in fp32 with one thread, at the input of `onboard`, and take turns frame by frame. YOLO's
weights are random, which costs the same; the best of its answers, `--objects`, are kept whatever their scores, so that
as many masks are drawn and tracks followed as by `onboard`. Times are CPU time of the process per frame, from a uint8
image to tracks with masks of image pixels, which for YOLO are bitmaps of visible masks alone and for `onboard` run
lengths of visible and amodal ones.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import statistics
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import supervision
import torch
from numpy.typing import NDArray
from openvino import Core
from trackers import ByteTrackTracker

from a2vis_model import StreamingTracker, freeze, load_weights
from a2vis_model.backends import default_cache, prepare_backend
from a2vis_model.profiling import EVERY_SLOT
from a2vis_model.sample_video import sample_video

CLASSES = 80
OVERLAP = 0.7
"""IoU from which YOLO's non-maximum suppression drops a box."""


class Yolo:
    """An exported YOLO, what makes masks of its answers, and ByteTrack."""

    def __init__(self, name: str, width: int, height: int, objects: int) -> None:
        from ultralytics import YOLO

        self._size, self._objects = (width, height), objects
        model = YOLO(f"{name}.yaml").model.fuse().eval()
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "yolo.onnx"
            torch.onnx.export(model, (torch.zeros(1, 3, height, width),), path, opset_version=18, dynamo=False)
            options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
            self._network = Core().compile_model(Core().read_model(path), "CPU", options)
        self._tracker = ByteTrackTracker(track_activation_threshold=0, minimum_consecutive_frames=1)

    def push(self, image: NDArray[np.uint8], number: int) -> int:
        """Take a frame; return the number of tracks."""
        small = cv2.resize(image, self._size).astype(np.float32).transpose(2, 0, 1)[None] / 255
        answers = self._network([small])
        # The exported graph also returns answers of single levels; these are the two that YOLO's own users take.
        found, prototypes = (next(a for a in answers.values() if a.ndim == rank) for rank in (3, 4))
        found = found[0].T  # a box's centre and size, its classes, its mask's coefficients
        scores = found[:, 4 : 4 + CLASSES].max(axis=1)
        best = np.argsort(scores)[::-1][: 10 * self._objects]
        boxes = np.concatenate((found[best, :2] - found[best, 2:4] / 2, found[best, 2:4]), axis=1)
        kept = best[cv2.dnn.NMSBoxes(boxes, scores[best], 0.0, OVERLAP)[: self._objects]]
        logits = np.tensordot(found[kept, 4 + CLASSES :], prototypes[0], 1)
        height, width = image.shape[:2]
        scale = np.array((width, height, width, height)) / np.tile(self._size, 2)
        centre, extent = found[kept, :2], found[kept, 2:4]
        corners = np.concatenate((centre - extent / 2, centre + extent / 2), axis=1) * scale
        masks = np.stack([cv2.resize(mask, (width, height)) > 0 for mask in logits])
        detections = supervision.Detections(
            corners, mask=masks, confidence=scores[kept], class_id=np.zeros(len(kept), int)
        )
        return len(self._tracker.update(detections))


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="yolo11n-seg")
    parser.add_argument("--image", default="1280x720")
    parser.add_argument("--objects", type=int, default=18)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--engine-cache", type=Path, default=default_cache())
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    width, height = map(int, args.image.split("x"))
    model, config = load_weights("onboard")
    backend = prepare_backend(freeze(model), config, backend="openvino", cache=args.engine_cache)
    ours = StreamingTracker(backend.network, config, settings=EVERY_SLOT)
    yolo = Yolo(args.model, config.input_width, config.input_height, args.objects)
    systems: dict[str, Any] = {
        "onboard": lambda image, number: sum(
            track.visible is not None and bool(track.visible.area)
            for result in ours.push(image, number / 15)
            for track in result.instances
        ),
        f"{args.model} and ByteTrack": yolo.push,
    }
    times: dict[str, list[float]] = {name: [] for name in systems}
    tracks = dict.fromkeys(systems, 0)
    for number, image in zip(range(args.frames + 10), cycle(sample_video(height, width)), strict=False):
        for name, push in systems.items():
            start = time.process_time()
            tracks[name] = push(image, number)
            if number >= 10:
                times[name].append((time.process_time() - start) * 1e3)
    parameters = {"onboard": sum(parameter.numel() for parameter in model.parameters())}
    print(f"images of {args.image}, input {config.input_width}x{config.input_height}, OpenVINO fp32, one thread")
    for name, values in times.items():
        size = f"{parameters.get(name, yolo.parameters) / 1e6:.1f} M parameters"
        print(f"  {name:<28} {statistics.median(values):7.2f} ms of CPU, {size}, {tracks[name]} tracks")


if __name__ == "__main__":
    main()
