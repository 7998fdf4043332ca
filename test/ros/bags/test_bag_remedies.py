"""Bags of a recorder that was killed, and results of a node that was started anew in the midst of one."""

import json
from pathlib import Path

import pytest
from ros_helpers import image, needs_ros

from a2vis_model.render import render_clip, write_clip

pytestmark = needs_ros


@pytest.mark.parametrize(("storage", "itself"), [("mcap", True), ("sqlite3", False)])
def test_a_bag_without_metadata_says_how_it_is_mended(tmp_path: Path, storage: str, itself: bool) -> None:
    from a2vis_ros.bags.bag_files import BagError, BagReader, BagWriter

    folder = tmp_path / "bag"
    with BagWriter(folder, storage) as bag:  # type: ignore[arg-type]
        bag.write("/image", image(1.0), 1)
    (folder / "metadata.yaml").unlink()
    with pytest.raises(BagError, match=f"`ros2 bag reindex {folder}` writes metadata.yaml anew") as refused:
        BagReader(folder)
    assert ("`ros2 bag play` plays bag.mcap itself" in str(refused.value)) == itself


def test_tracks_of_two_sessions_are_two(tmp_path: Path) -> None:
    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay import tracks_in
    from a2vis_ros.bags.scoring import score
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_clip(render_clip(world="robot", seed=1, frames=6, height=64, width=96), tmp_path / "clip" / "00000")
    write_bag(AnnotatedVideo.open(tmp_path / "clip" / "00000"), tmp_path / "bag")
    truth, tracks = (tracks_in(tmp_path / "bag", bag_files.GROUND_TRUTH) for _ in range(2))
    counts = []
    for second in (0, 7):
        for message in tracks[3:]:
            message.session = second
        score(tracks, truth, (), tmp_path / "scores")
        counts.append(len(json.loads((tmp_path / "scores" / "results.json").read_text(encoding="utf-8"))))
    assert counts[1] > counts[0]
