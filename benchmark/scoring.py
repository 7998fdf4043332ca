"""Time `a2vis score` on many clips of FISHBOWL's size.

    python benchmark/scoring.py --clips 1000 --jobs 2

Twelve clips are rendered and each object is predicted by its own masks, shifted by a few pixels; further shifted copies
of lower score make it 15 predictions a clip. Replicated, they become two YouTube-VIS files of over 1 MB a clip,
which a process of its own scores, plots included. Its memory is that of all its processes together.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from a2vis_model.data import open_fishbowl
from a2vis_model.data.masks import parse_mask
from a2vis_model.evaluation import TrackRecord, VideoInfo
from a2vis_model.evaluation.runner import truth_tracks
from a2vis_model.evaluation.youtube_vis import ground_truth_document, ground_truth_record, result_record
from a2vis_model.masks.coco import Rle, encode
from a2vis_model.render import CLASS_NAMES, SyntheticClips, write_clip

SOURCES = 12
PREDICTIONS = 15


def main() -> None:
    """Make the files, score them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = write_files(folder, args.clips, args.frames)
        command = [sys.executable, "-m", "a2vis_model.cli", "score", "--jobs", str(args.jobs), "--quiet"]
        command += ["--ground-truth", str(folder / "truth.json"), "--predictions", str(folder / "predictions.json")]
        start = time.perf_counter()
        scoring = subprocess.Popen([*command, "--output", str(folder / "out")], stdout=subprocess.DEVNULL)
        peak = peak_memory(scoring)
        wall = time.perf_counter() - start
        if scoring.returncode:
            raise SystemExit(f"a2vis score ended with status {scoring.returncode}")
        size = sum((folder / file).stat().st_size for file in ("truth.json", "predictions.json"))
    print(
        f"{args.clips} clips of {args.frames} frames, {objects} objects, {PREDICTIONS} predictions a clip, "
        f"{size / 1e9:.2f} GB of JSON, {args.jobs} jobs: {wall:.0f} s on the clock, "
        f"{peak / 2**20:.0f} MiB at the most"
    )


def write_files(folder: Path, clips: int, frames: int) -> int:
    """Write `truth.json` and `predictions.json`; returns the number of objects."""
    rendered = SyntheticClips("aquarium", seed=0, frames=frames, length=SOURCES)
    for number in range(SOURCES):
        write_clip(rendered[number], folder / "clips" / f"{number:05d}")
    sources = []
    for video in open_fishbowl(folder / "clips", CLASS_NAMES):
        info = VideoInfo(1, video.name, video.length, video.height, video.width)
        truth = truth_tracks(video)
        found = predictions(truth, np.random.default_rng(len(sources)))
        sources.append(
            (info, [ground_truth_record(t, info, 1) for t in truth], [result_record(t, info) for t in found])
        )
    chosen = [sources[n % len(sources)] for n in range(clips)]
    infos = [replace(info, video_id=n, name=f"{n:05d}") for n, (info, _, _) in enumerate(chosen, 1)]
    annotations = (
        {**record, "video_id": n, "id": 1000 * n + k}
        for n, (_, records, _) in enumerate(chosen, 1)
        for k, record in enumerate(records, 1)
    )
    results = ({**record, "video_id": n} for n, (_, _, records) in enumerate(chosen, 1) for record in records)
    head = json.dumps(ground_truth_document(infos, dict(enumerate(CLASS_NAMES, 1)), []))
    assert head.endswith("[]}")
    write_array(folder / "truth.json", head[:-3] + "[", tqdm(annotations, "truth", leave=False), "]}")
    write_array(folder / "predictions.json", "[", tqdm(results, "predictions", leave=False), "]")
    return sum(len(records) for _, records, _ in chosen)


def write_array(path: Path, before: str, records: Iterable[dict[str, Any]], after: str) -> None:
    """Write JSON that need not fit into memory."""
    with path.open("w", encoding="utf-8") as file:
        file.write(before)
        for n, record in enumerate(records):
            file.write((",\n" if n else "") + json.dumps(record))
        file.write(after)


def predictions(truth: list[TrackRecord], rng: np.random.Generator) -> list[TrackRecord]:
    """Shifted copies of the objects, further away and less sure with every round."""
    found: list[TrackRecord] = []
    for number in range(PREDICTIONS):
        track, round_ = truth[number % len(truth)], number // len(truth)
        shift = rng.integers(-3, 4, 2) * (1 + round_)
        visible = [shifted(mask, shift) for mask in track.visible or ()]
        amodal = [shifted(mask, shift) for mask in track.amodal or ()]
        score = 0.99 / (1 + round_) - 0.01 * number
        found.append(TrackRecord(number + 1, track.class_id, score, visible=visible, amodal=amodal))
    return found


def shifted(mask: Rle | None, shift: np.ndarray) -> Rle | None:
    """A mask moved by whole pixels (y, x)."""
    if mask is None:
        return None
    parsed = parse_mask({"size": mask["size"], "counts": mask["counts"].decode()}, *mask["size"])
    return None if parsed is None else encode(np.roll(parsed.decode(), shift, (0, 1)))


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; the greatest resident memory of it and its children together, in bytes."""
    peak, done = 0, Event()
    root = psutil.Process(process.pid)

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            with suppress(psutil.Error):  # a child that has just ended
                peak = max(peak, sum(p.memory_info().rss for p in (root, *root.children(recursive=True))))

    watcher = Thread(target=watch)
    watcher.start()
    process.wait()
    done.set()
    watcher.join()
    return peak


if __name__ == "__main__":
    main()
