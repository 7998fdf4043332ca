"""The node's ROS-free parts: parameters, diagnostics, pictures, the monitor's memory, annotated videos."""

import dataclasses
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from frame_keys import status
from paths import ROOT
from scripted_tracker import ScriptedTracker, instance

from a2vis_model import FrameResult, RegionMask, TrackSettings, TrackState
from a2vis_model.render import render_clip, write_clip
from a2vis_ros.bags.video_source import AnnotatedVideo
from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.planner.occlusion_memory import OcclusionMemory, Region, Sighting
from a2vis_ros.programs.reports import EVENTS_KEPT, Level, RateMeter
from a2vis_ros.stream import pictures
from a2vis_ros.stream.diagnostics import StreamStatistics, report
from a2vis_ros.stream.models import GpuMemory, LoadedModel
from a2vis_ros.stream.parameters import PARAMETERS, ParameterError, Settings


def test_the_configuration_file_holds_every_parameter_with_its_default_and_a_comment() -> None:
    text = (ROOT / "config" / "a2vis.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {parameter.name: parameter.default for parameter in PARAMETERS}
    assert {name: type(value) for name, value in values.items()} == {p.name: type(p.default) for p in PARAMETERS}
    lines = text.splitlines()
    for name in values:
        index = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
        assert lines[index - 1].strip().startswith("#"), f"{name} has no comment"
    live = {p.name for p in PARAMETERS if p.dynamic}
    assert set(TrackSettings.__dataclass_fields__) <= live


def test_every_parameter_is_described_and_its_default_allowed() -> None:
    Settings.defaults()
    for parameter in PARAMETERS:
        assert len(parameter.description) > 15, parameter.name
        number = type(parameter.default) in (int, float)
        assert not number or parameter.lowest is not None, f"{parameter.name} has no range"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stride": 0}, "stride=0 is not between 1 and 64"),
        ({"policy": "fastest"}, "policy='fastest' is none of latest, every_frame"),
        ({"start_score": math.nan}, "start_score=nan"),
        ({"start_score": 1.5}, "start_score=1.5"),
        ({"keep_score": 0.9, "start_score": 0.8}, "keep_score=0.9 is over start_score=0.8"),
        ({"age_warn_s": 5.0}, "age_warn_s=5"),
        ({"stride": "2"}, "give a int"),
        ({"stride": True}, "is a bool"),
        ({"strid": 1}, "strid is no parameter"),
    ],
)
def test_wrong_values_are_refused_with_name_value_and_remedy(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Settings.defaults(**changes)


@pytest.mark.parametrize(
    ("cameras", "images", "words"),
    [
        ("left right", "/left/image_raw", "are 1 topics for the 2 of cameras='left right'"),
        ("", "/left/image_raw", "are 1 topics for the 0 of cameras=''"),
        ("left left", "", "cameras names 'left' twice"),
        ("left right", "/a /a", "images names '/a' twice"),
        ("left right left", "/a /b /c", "cameras names 'left' twice"),
        ("left 1st", "", "'1st' cannot be a namespace"),
        ("/left", "", "'/left' cannot be a namespace"),
    ],
)
def test_cameras_that_cannot_be_are_refused(cameras: str, images: str, words: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(words)):
        Settings.defaults(cameras=cameras, images=images)


def test_each_camera_has_a_namespace_and_the_only_one_the_node_s_own_names() -> None:
    (only,) = Settings.defaults().cameras
    assert (only.image, only.place("a2vis", "~/tracks")) == ("image", "~/tracks")
    left, right = Settings.defaults(cameras="left right").cameras
    assert (left.image, right.image) == ("left/image", "right/image")
    assert right.place("eyes", "~/tracks") == "right/eyes/tracks"
    named = Settings.defaults(cameras=" left  right ", images="/a/image_raw b").cameras
    assert [(camera.name, camera.image) for camera in named] == [("left", "/a/image_raw"), ("right", "right/b")]


def test_whole_numbers_do_for_fractions() -> None:
    assert Settings.defaults(max_gap_s=1)["max_gap_s"] == 1


def test_only_live_parameters_change_while_running() -> None:
    settings = Settings.defaults().change({"start_score": 0.6})
    assert settings.tracks({}) == dataclasses.replace(TrackSettings(), start_score=0.6)
    with pytest.raises(ParameterError, match="deactivate"):
        settings.change({"stride": 2})
    with pytest.raises(ParameterError, match="keep_score"):
        settings.change({"keep_score": 0.7})


def test_scores_that_are_not_given_are_those_that_the_weights_recommend() -> None:
    defaults, recommended = Settings.defaults(), {"start_score": 0.6, "keep_score": 0.4}
    assert defaults.tracks({}) == TrackSettings()
    assert defaults.tracks(recommended) == TrackSettings(start_score=0.6, keep_score=0.4)
    assert defaults.tracks({"idle_frames": 4.0}) == TrackSettings(idle_frames=4)
    assert Settings.defaults(idle_frames=9).tracks({"idle_frames": 4.0}) == TrackSettings(idle_frames=9)
    assert Settings.defaults(start_score=0.0, keep_score=0.0).tracks(recommended).start_score == 0.0
    assert Settings.defaults(keep_score=0.1).tracks(recommended) == TrackSettings(start_score=0.6, keep_score=0.1)
    with pytest.raises(ParameterError, match=r"keep_score=0.7 is over start_score=0.6, which the weights recommend"):
        Settings.defaults(keep_score=0.7).tracks(recommended)
    with pytest.raises(ParameterError, match=r"keep_score=0.4 is over start_score=0.1: .*lower keep_score"):
        Settings.defaults(start_score=0.1).tracks(recommended)


def test_diagnostics_say_how_it_goes() -> None:
    statistics = StreamStatistics()
    for i in range(100):
        statistics.publish(0.001 * (i + 1), ["visible", "occluded"])
    found = report(status(), statistics, 0.0)
    values = dict(found.values)
    assert found.level == Level.OK
    assert (values["age_p50_ms"], values["age_count"]) == ("50.500", "100")
    assert (values["received"], values["processed"], values["total_dropped_frames"]) == ("10", "7", "2")
    assert (values["dropped: superseded"], values["tracks: occluded"], values["tracks: lost"]) == ("2", "1", "0")
    assert values["subscribers"] == "4"
    assert float(values["memory_mib"]) > 10
    assert "10 received = 7 processed + 2 dropped (2 superseded) + 1 in flight" in found.message


def test_diagnostics_count_damaged_images() -> None:
    statistics = StreamStatistics()
    assert dict(report(status(), statistics, 0.0).values)["damaged_images"] == "0"
    statistics.damaged += 2
    assert dict(report(status(), statistics, 0.0).values)["damaged_images"] == "2"


def test_diagnostics_tell_of_engine_and_gpu() -> None:
    plain = dict(report(status(), StreamStatistics(), 0.0).values)
    assert (plain["backend"], plain["backend_reason"], plain["engine"]) == ("eager/cpu", "as asked for", "none")
    assert "gpu_memory_mib" not in plain
    model = LoadedModel(
        lambda tracks: ScriptedTracker(),
        3,
        "onboard",
        "a file",
        "tensorrt-fp16/cuda:0",
        (),
        engine="0123abcd",
        parity="passed (...)",
    )
    values = dict(report(status(model=model, gpu_memory=GpuMemory(900, 1500, 8000)), StreamStatistics(), 0.0).values)
    assert (values["engine"], values["parity_gate"]) == ("0123abcd", "passed (...)")
    assert (values["gpu_memory_mib"], values["gpu_memory_all_processes_mib"]) == ("900", "1500 of 8000")


@pytest.mark.parametrize(
    ("changes", "age", "level", "words"),
    [
        ({}, math.nan, Level.OK, "running"),
        ({}, 0.31, Level.WARN, "0.31 s old"),
        ({}, 1.5, Level.ERROR, "age_error_s is 1"),
        ({"silence": "no publisher on /image"}, 0.1, Level.WARN, "no publisher on /image"),
        ({"degraded": True, "degradation": "no overlay"}, 0.1, Level.WARN, "degraded: no overlay"),
        ({"degraded": True}, 1.5, Level.ERROR, "age_error_s is 1"),
        ({"clock": "use_sim_time is set, but"}, math.nan, Level.WARN, "use_sim_time is set, but"),
        ({"state": "inactive", "silence": "x"}, 9.0, Level.OK, "inactive"),
    ],
)
def test_diagnostic_levels(changes: dict[str, object], age: float, level: int, words: str) -> None:
    statistics = StreamStatistics()
    statistics.publish(age, [])
    found = report(status(**changes), statistics, 0.0)
    assert found.level == level
    assert words in found.message


def test_rates_forget_what_is_long_ago_and_survive_time_running_backwards() -> None:
    meter = RateMeter(window_s=2.0)
    for i in range(60):
        meter.count(100 + i / 30)
    assert meter.rate(102.0) == pytest.approx(30, rel=0.01)
    assert meter.rate(110.0) == 0
    meter.count(50.0)
    meter.count(50.5)
    assert meter.rate() == pytest.approx(2)


def test_rates_keep_a_bounded_number_of_events() -> None:
    meter = RateMeter(window_s=2.0)
    for i in range(5000):
        meter.count(100 + i / 10_000)
    assert len(meter._times) == EVENTS_KEPT
    assert meter.rate() == pytest.approx(10_000)
    for _ in range(5000):
        meter.count(101.0)
    assert len(meter._times) == EVENTS_KEPT
    assert meter.rate() == 0


def test_images_without_stamps_have_no_rate_by_stamps() -> None:
    statistics = StreamStatistics()
    for i in range(30):
        statistics.arrive(i / 30, 0.0 if i % 2 else 10 + i / 30)
    assert statistics.arrivals.rate() == pytest.approx(30)
    assert statistics.stamps.rate() == pytest.approx(15)


def test_the_id_image_holds_visible_tracks_alone() -> None:
    tracks = (
        instance(7),
        instance(70000, visible=RegionMask.crop(np.ones((2, 2), np.bool_), x=5, y=5, image_height=10, image_width=10)),
        instance(9, TrackState.LOST),
        instance(8, TrackState.OCCLUDED, visible=RegionMask.empty(10, 10)),
    )
    ids = pictures.visible_ids(FrameResult(0, 0.0, 0, 10, 10, tracks))
    assert ids.dtype == np.uint16
    assert set(np.unique(ids)) == {0, 7, 70000 - 65535}
    assert (ids == 7).sum() == 6


@pytest.mark.parametrize("state", [TrackState.OCCLUDED, TrackState.LOST])
def test_the_overlay_outlines_a_hidden_track_while_it_has_a_mask(state: TrackState) -> None:
    image, empty = np.zeros((100, 200, 3), np.uint8), RegionMask.empty(100, 200)
    mask = RegionMask.crop(np.ones((20, 30), np.bool_), x=90, y=50, image_height=100, image_width=200)
    drawn = pictures.overlay(
        image, FrameResult(0, 0.0, 0, 100, 200, (instance(1, state, visible=empty, amodal=mask),)), 500
    )
    assert drawn[50:70, 90].any(axis=-1).all()
    assert not drawn[55:65, 95:115].any(), "what is hidden is not filled"
    bare = FrameResult(0, 0.0, 0, 100, 200, (instance(1, state, visible=empty, amodal=empty),))
    assert not pictures.overlay(image, bare, 500).any()


def test_the_overlay_keeps_to_its_width() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    result = FrameResult(0, 0.0, 0, 100, 200, ())
    assert pictures.overlay(image, result, 50).shape == (25, 50, 3)
    assert pictures.overlay(image, result, 500).shape == (100, 200, 3)


def mask(x: int, y: int, width: int = 4, height: int = 4) -> RunLengthMask:
    image = np.zeros((100, 100), np.bool_)
    image[y : y + height, x : x + width] = True
    return encode_image(image)


def seen(track_id: int, place: RunLengthMask, *, visible: bool = False, ended: bool = False) -> Sighting:
    return Sighting(track_id, visible, ended, place)


REGION = Region(20, 0, 10, 100)


def test_hidden_objects_are_told_from_seen_ones_and_by_their_reach() -> None:
    memory = OcclusionMemory(margin_px=2, growth_px_s=0)
    first = [
        seen(1, mask(20, 10), visible=True),
        seen(2, mask(15, 30), visible=True),
        seen(3, mask(0, 50), visible=True),
    ]
    assert memory.update(0, 1.0, first, REGION) == []
    hidden = memory.update(0, 1.5, [seen(1, mask(20, 10)), seen(2, mask(15, 30)), seen(3, mask(0, 50))], REGION)
    assert [(h.track_id, h.seconds) for h in hidden] == [(1, 0.5), (2, 0.5)]
    # Track 2 ends at column 18; two pixels on it covers one column of the region, eight rows high.
    assert [h.reachable for h in hidden] == [6 * 8, 8]


def test_reach_is_what_the_grown_footprint_covers_of_the_region() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        picture = np.zeros((60, 80), np.bool_)
        y, x = rng.integers(0, 50), rng.integers(0, 60)
        picture[y : y + 10, x : x + 20] = rng.random((10, 20)) < 0.05
        margin = int(rng.integers(0, 12))
        region = Region(*map(int, (rng.integers(0, 70), rng.integers(0, 50), *rng.integers(1, 40, 2))))
        memory = OcclusionMemory(margin_px=margin, growth_px_s=0)
        hidden = memory.update(0, 1.0, [seen(1, encode_image(picture))], region)
        # Room on all sides for a region that leaves the image.
        grown = cv2.dilate(np.pad(picture, 50).astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8))
        rows = slice(region.y + 50, region.y + region.height + 50)
        covered = int(grown[rows, region.x + 50 : region.x + region.width + 50].sum())
        assert [h.reachable for h in hidden] == ([covered] if covered else [])


def test_reach_grows_with_the_time_hidden() -> None:
    memory = OcclusionMemory(margin_px=0, growth_px_s=10)
    memory.update(0, 1.0, [seen(1, mask(10, 10), visible=True)], REGION)
    assert memory.update(0, 1.1, [seen(1, mask(10, 10))], REGION) == []
    assert [h.track_id for h in memory.update(0, 2.0, [seen(1, mask(10, 10))], REGION)] == [1]


def test_a_lost_object_stays_where_it_was_last_said_to_be() -> None:
    memory = OcclusionMemory(margin_px=0, growth_px_s=0)
    memory.update(0, 1.0, [seen(1, mask(20, 10), visible=True)], REGION)
    memory.update(0, 1.1, [seen(1, mask(24, 10))], REGION)
    hidden = memory.update(0, 1.2, [seen(1, RunLengthMask.empty())], REGION)
    assert [h.footprint.x for h in hidden] == [24]


def test_ended_tracks_and_old_epochs_are_forgotten() -> None:
    memory = OcclusionMemory(margin_px=0, growth_px_s=0)
    memory.update(0, 1.0, [seen(1, mask(20, 10)), seen(2, mask(22, 40))], REGION)
    assert [
        h.track_id
        for h in memory.update(0, 1.1, [seen(1, mask(20, 10), ended=True), seen(2, RunLengthMask.empty())], REGION)
    ] == [2]
    assert memory.update(1, 1.2, [seen(2, RunLengthMask.empty())], REGION) == []


def test_a_clip_brings_its_ground_truth(tmp_path: Path) -> None:
    # A clip in which some objects are hidden at first and others later.
    clip = render_clip(world="robot", seed=4, frames=20, height=64, width=96)
    assert any(not o.visible[0].any() for o in clip.objects)
    write_clip(clip, tmp_path / "00000")
    video = AnnotatedVideo.open(tmp_path / "00000", rate=10)
    pictures = list(video.frames())
    assert [round(p.seconds, 6) for p in pictures] == [i / 10 for i in range(20)]
    by_id = {o.id + 1: o for o in clip.objects}
    assert by_id
    states = set()
    for t, picture in enumerate(pictures):
        assert picture.truth is not None
        for track in picture.truth.instances:
            truth = by_id[track.track_id]
            states.add(track.state)
            assert track.visible is not None
            assert track.amodal is not None
            np.testing.assert_array_equal(track.visible.full(), truth.visible[t])
            np.testing.assert_array_equal(track.amodal.full(), truth.amodal[t])
            assert track.class_name == truth.class_name
            assert (track.frames_since_visible == 0) == bool(truth.visible[t].any())
        told = {track.track_id for track in picture.truth.instances}
        # Told from the first frame in which it is seen, not before (paper 3.1).
        assert told == {i for i, o in by_id.items() if o.visible[: t + 1].any()}
    assert {TrackState.VISIBLE, TrackState.OCCLUDED} <= states
