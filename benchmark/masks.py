"""Time the masks of a frame, from logits to run lengths: all at once, and one by one as the reference does it.

    python benchmark/masks.py --image 1280x720 --runs 50

Twenty wavy blobs, each partly hidden, as visible and amodal logits at stride 4 of some input sizes. Ways take turns;
CPU time is that of the process, over all its threads, which other programs disturb less than the clock on the wall.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from a2vis_model.masks.outlines import OutlineCapacity, PixelGrid, positive_cells, trace
from a2vis_model.masks.region import logits_to_mask
from a2vis_model.masks.run_lengths import MaskRuns, Segments
from a2vis_model.modeling import ClipPrediction
from a2vis_model.placement import Placement
from a2vis_model.tracking.observations import PredictionReader
from a2vis_model.tracking.settings import TrackSettings
from a2vis_model.transfer import fetch

OBJECTS = 20
INPUTS = ((384, 256), (480, 320), (640, 384), (1280, 736))


def blob_logits(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Visible and amodal logits [OBJECTS, height, width] of blobs a fifth as high as the map."""
    rows, columns = np.mgrid[:height, :width]
    visible, amodal = [], []
    for i in range(OBJECTS):
        x, y = width * (0.1 + 0.8 * (i % 5) / 4), height * (0.15 + 0.7 * (i // 5) / 3)
        whole = height / 9 + height / 120 * np.sin(rows / 6 + i) - np.hypot(rows - y, columns - x)
        amodal.append(whole)
        visible.append(np.minimum(whole, columns - x + height / 20))
    return torch.from_numpy(np.stack(visible)).float(), torch.from_numpy(np.stack(amodal)).float()


def take_turns(functions: dict[str, Callable[[], object]], runs: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of each function, on the wall and of the processor, called in turn after a warm-up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for run in range(-3, runs):
        for name, function in functions.items():
            wall, processor = time.perf_counter(), time.process_time()
            function()
            if run >= 0:
                taken = (time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3
                times[name].append(taken)
    return times


@torch.inference_mode()
def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="1280x720")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    image_width, image_height = map(int, args.image.split("x"))
    limits = None if device.type == "cpu" else OutlineCapacity()
    print(
        f"torch {torch.__version__}, {device}, {args.threads} threads, "
        f"2x{OBJECTS} masks of {args.image}, {args.runs} runs"
    )
    for width, height in INPUTS:
        place = Placement.fit(
            image_height=image_height, image_width=image_width, input_height=height, input_width=width
        )
        visible, amodal = (logits.to(device) for logits in blob_logits(height // 4, width // 4))
        classes = torch.zeros(1, OBJECTS, 25, device=device)
        prediction = ClipPrediction(classes, visible[None, None], amodal[None, None])
        logits, wanted = torch.cat((visible, amodal)), torch.ones(2 * OBJECTS, dtype=torch.bool, device=device)
        grid = PixelGrid.of(height // 4, width // 4, place, device)
        reader, least = PredictionReader(limits), np.zeros(OBJECTS, np.float32)

        def one_by_one(logits: torch.Tensor = logits, place: Placement = place) -> None:
            for mask in fetch(logits).numpy():
                logits_to_mask(mask, place)

        def at_once(
            logits: torch.Tensor = logits,
            wanted: torch.Tensor = wanted,
            grid: PixelGrid = grid,
            place: Placement = place,
        ) -> None:
            edges = trace([logits], positive_cells([logits]), wanted[None], grid, limits)
            packed = fetch(torch.cat((edges.found, edges.mask, edges.position))).numpy()
            mask, position = packed[3:].reshape(2, -1)[:, : packed[2]]
            runs = MaskRuns(Segments.between(mask, position, place), place)
            for number in range(len(logits)):
                runs.mask(number)

        def whole_frame(
            least_part: float = 0.0,
            reader: PredictionReader = reader,
            prediction: ClipPrediction = prediction,
            place: Placement = place,
            least: np.ndarray = least,
        ) -> None:
            read = reader.read(prediction, 0, place, least, least_part)
            for slot in range(OBJECTS):
                read.masks(slot)

        print(f"input {width}x{height}")
        functions = {
            "one by one": one_by_one,
            "all at once": at_once,
            "all at once, areas, overlaps": whole_frame,
            "the same without specks": partial(whole_frame, TrackSettings().least_part),
        }
        for name, times in take_turns(functions, args.runs).items():
            walls, processors = zip(*times, strict=True)
            print(
                f"  {name:<30} wall median {statistics.median(walls):7.2f}  min {min(walls):7.2f} ms   "
                f"CPU median {statistics.median(processors):7.2f}  min {min(processors):7.2f} ms"
            )


if __name__ == "__main__":
    main()
