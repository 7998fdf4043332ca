"""The doctor's findings, boxes for vision_msgs, the setup's repair, and the whole demo."""

import importlib.util
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paths import ROOT
from ros_helpers import Peer, call, image, needs_ros

from a2vis_model import ModelConfig, VideoNetwork, freeze, load_weights, save_weights


def test_the_setup_points_exported_files_at_this_interpreter(tmp_path: Path) -> None:
    import sysconfig

    spec = importlib.util.spec_from_file_location("ros_setup", ROOT / "tools" / "ros_setup.py")
    assert spec is not None
    assert spec.loader is not None
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    host = f"/opt/python/cp{version}-cp{version}"
    file = tmp_path / "a" / "export.cmake"
    file.parent.mkdir()
    file.write_text(
        f"set(X {host}/include/{python};{host}/lib/{python}/site-packages/numpy/_core/include;/usr/include)"
    )
    (tmp_path / "clean.cmake").write_text("set(Y 1)")
    assert setup.repair_exports(tmp_path) == 1
    text = file.read_text()
    assert "/opt/python" not in text
    assert sysconfig.get_paths()["include"] in text
    assert np.get_include() in text
    assert setup.repair_exports(tmp_path) == 0


def test_the_doctor_tells_what_it_has_found_before_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from a2vis_ros.tools import doctor
    from a2vis_ros.tools.findings import Finding

    def examine(_: object) -> Iterator[Finding]:
        yield Finding("warning", "weights", "are missing", "fetch them")
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "check_requirements", list)
    monkeypatch.setattr(doctor, "_examine", examine)
    with pytest.raises(KeyboardInterrupt):
        doctor.main([])
    assert "are missing" in capsys.readouterr().out


@needs_ros
def test_boxes_for_vision_msgs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against stand-ins with the fields of vision_msgs 4, where the package itself is not installed."""
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    from a2vis_ros.node.detections import DetectionMaker

    if not DetectionMaker.available():

        def kind(name: str, **fields: Any) -> type:
            def make(self: Any, **given: Any) -> None:
                assert given.keys() <= fields.keys()
                for field, value in {**{f: v() for f, v in fields.items()}, **given}.items():
                    setattr(self, field, value)

            return type(name, (), {"__init__": make})

        point = kind("Point2D", x=float, y=float)
        box = kind("BoundingBox2D", center=kind("Pose2D", position=point), size_x=float, size_y=float)
        guess = kind("ObjectHypothesisWithPose", hypothesis=kind("ObjectHypothesis", class_id=str, score=float))
        fake = types.ModuleType("vision_msgs.msg")
        vars(fake).update(
            ObjectHypothesisWithPose=guess,
            Detection2D=kind("Detection2D", header=object, id=str, results=list, bbox=box),
            Detection2DArray=kind("Detection2DArray", header=object, detections=list),
        )
        monkeypatch.setitem(sys.modules, "vision_msgs", types.ModuleType("vision_msgs"))
        monkeypatch.setitem(sys.modules, "vision_msgs.msg", fake)
    tracks = TrackedInstanceArray(header=image(1.5).header)
    for track_id, state in enumerate((0, 1, 2, 3), 1):
        track = TrackedInstance(track_id=track_id, state=state, class_name="Box", score=0.5)
        for roi, width in ((track.visible.roi, 0 if state == 2 else 10), (track.amodal.roi, 20)):
            roi.x_offset, roi.y_offset, roi.width, roi.height = 4, 6, width, width
        tracks.instances.append(track)
    maker = DetectionMaker()
    visible, amodal = maker.make(tracks, "visible").detections, maker.make(tracks, "amodal").detections
    # Tentative and lost tracks are not confirmed; the hidden one has an amodal box alone.
    assert [d.id for d in visible] == ["2"]
    assert [d.id for d in amodal] == ["2", "3"]
    center = visible[0].bbox.center.position
    assert (center.x, center.y, visible[0].bbox.size_x, amodal[0].bbox.size_y) == (9.0, 11.0, 10.0, 20.0)
    assert visible[0].header == tracks.header
    assert visible[0].results[0].hypothesis.class_id == "Box"


def arrivals(count: int, *, made: float, arrive: float, **changes: Any) -> list[Any]:
    from a2vis_ros.tools.doctor_checks import Arrival

    return [Arrival(i / arrive, 0.01, image(5 + i / made, **changes)) for i in range(count)]


@needs_ros
def test_the_doctor_judges_a_stream() -> None:
    from a2vis_ros.tools.doctor_checks import check_stream

    good = check_stream(arrivals(30, made=30, arrive=30), 1)
    assert {finding.verdict for finding in good} == {"ok"}
    assert "64x48 rgb8" in good[0].text
    cases = {
        "rate": arrivals(10, made=30, arrive=10),
        "frame_id": arrivals(30, made=30, arrive=30, header=type(image(0).header)()),
    }
    for about, stream in cases.items():
        found = {finding.about: finding for finding in check_stream(stream, 1)}
        assert found[about].verdict in ("warning", "note"), found[about]
        assert found[about].fix
    unstamped = check_stream([*arrivals(3, made=30, arrive=30), *arrivals(1, made=30, arrive=30)], 1)
    assert any("run backwards" in finding.text for finding in unstamped)
    broken = check_stream(arrivals(3, made=30, arrive=30, encoding="32FC1"), 1)
    assert [finding.verdict for finding in broken] == ["error"]


@needs_ros
def test_the_doctor_writes_out_what_an_image_says_of_itself() -> None:
    import cv2
    from sensor_msgs.msg import CompressedImage

    from a2vis_ros.tools.doctor_checks import Arrival, check_stream
    from a2vis_ros.tools.findings import Finding

    hostile = "jpeg\x1b[2J\n      ok  images: all is well"
    message = CompressedImage(format=hostile * 10_000, data=cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    for finding in check_stream([Arrival(float(i), 0.01, message) for i in range(3)], 1):
        said = str(finding)
        assert all(line.isprintable() for line in said.splitlines())
        assert len(said) < 400
    said = str(Finding("error", hostile, hostile * 1000, hostile))
    assert [line.isprintable() for line in said.split("\n")] == [True, True]
    assert len(said) < 3000


@needs_ros
def test_the_doctor_knows_the_transport(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from a2vis_ros.tools.doctor_checks import check_transport

    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)
    assert check_transport(100_000, reliable=False)[0].verdict == "ok"
    large = check_transport(2_764_800, reliable=False)[0]
    assert large.verdict == "warning"
    assert "fastdds_large_image.xml" in large.fix
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds_large_image.xml"))
    assert check_transport(2_764_800, reliable=False)[0].verdict == "ok"
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "nothing.xml"))
    assert check_transport(2_764_800, reliable=False)[0].verdict == "error"


@needs_ros
def test_the_doctor_looks_into_the_engine_cache(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> None:
    from a2vis_model.backends import GateResult
    from a2vis_model.backends.engine_cache import EngineCache, engine_key
    from a2vis_model.backends.engines import ENGINES
    from a2vis_ros.tools.doctor_checks import check_backends
    from a2vis_ros.tools.findings import Finding

    weights, cache = tmp_path / "w.safetensors", tmp_path / "engines"
    save_weights(weights, model, config)

    def found() -> Any:
        return {finding.about: finding for finding in check_backends(str(weights), cache)}

    if torch.cuda.is_available() or "backend compile, fp32" not in found():
        pytest.skip("compares with the engine of a CPU, and needs a C++ compiler to build one")
    assert f"no engines yet in {cache}" in found()["backend compile, fp32"].text
    engines = EngineCache(cache)
    missing = found()["backend compile, fp32"]
    assert (missing.verdict, "build-engine" in missing.fix) == ("note", True)
    requirements = ENGINES["compile"].requirements()
    key = engine_key(freeze(load_weights(weights)[0]), config, "compile", "fp32", requirements)
    with engines.unfinished() as folder:
        for name in ("frame.pt2", "clip.pt2"):
            (folder / name).write_bytes(b"code")
        engines.keep(folder, key, GateResult(10, 1.0, 1.0, 0.0, 0.0, 0.0, ()))
    about = "backend compile, fp32"
    assert found()[about] == Finding("ok", about, f"its engine is {engines.find(key)}")
    (file,) = cache.rglob("clip.pt2")
    file.write_bytes(b"cod")
    refused = found()["backend compile, fp32"]
    assert refused.verdict == "error"
    assert "truncated or changed" in refused.text
    assert check_backends("/nowhere.safetensors", cache) == []


@needs_ros
def test_the_doctor_visits_a_topic(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from sensor_msgs.msg import Image

    save_weights(tmp_path / "w.safetensors", model, config)
    command = [sys.executable, "-m", "a2vis_ros.tools.doctor", "--weights", str(tmp_path / "w.safetensors")]
    visits = [
        subprocess.Popen([*command, "--topic", t], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for t in ("/image", "/no")
    ]
    peer = Peer()
    camera = peer.node.create_publisher(Image, "/image", 10)
    # What is not a camera: a topic on which somebody waits for images, and the pictures of a node of ours.
    peer.listen(Image, "/no")
    eyes = Peer("eyes")
    eyes.node.create_publisher(TrackedInstanceArray, "/tracks", 10)
    eyes.node.create_publisher(Image, "/eyes/overlay", 10)
    i = 0
    while any(visit.poll() is None for visit in visits):
        now = peer.node.get_clock().now().nanoseconds * 1e-9
        camera.publish(image(now))
        peer.spin(0.04)
        i += 1
        assert i < 2000
    said = [visit.communicate()[0] for visit in visits]
    eyes.close()
    peer.close()
    assert "ok  images: 64x48 rgb8" in said[0]
    assert "ok  backend eager: is available" in said[0]
    if not torch.cuda.is_available():
        assert "note  backend tensorrt: TensorRT runs on NVIDIA GPUs only" in said[0]
        assert "note  backend compile, fp16: fp16 needs a GPU" in said[0]
    assert "reliable" in said[0]
    assert visits[1].returncode == 1
    assert "no publisher on /no" in said[1]
    assert "there are images on /image;" in said[1]


@needs_ros
def test_the_demo(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    output = tmp_path / "demo"
    given = ["--output", str(output), "--frames", "20", "--weights", str(tmp_path / "w.safetensors")]
    done = subprocess.run(
        [sys.executable, "-m", "a2vis_ros.tools.demo", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    log = output / "log.txt"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.is_file() else "")
    assert "20 received = 20 processed + 0 dropped + 0 in flight" in done.stdout
    assert "20 results recorded of 20 images played" in done.stdout
    assert "w.safetensors" in done.stdout
    assert "Amodal segmentation" in done.stdout
    assert (output / "overlay.mp4").stat().st_size > 1000
    assert (output / "contact_sheet.png").stat().st_size > 1000
    # A folder with anything else in it is left alone.
    (output / "mine.txt").touch()
    again = call("tools.demo", *given)
    assert again.returncode == 2
    assert "mine.txt" in again.stderr
    assert (output / "overlay.mp4").exists()


@needs_ros
def test_the_demo_waits_as_long_as_results_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_ros.tools import demo

    class Executor:
        """Hears one report of the node each time."""

        def __init__(self, *reports: tuple[int, int]) -> None:
            self.values: dict[str, str] = {}
            self.reports = iter(reports)

        def spin_once(self, timeout_sec: float) -> None:
            received, in_flight = next(self.reports, (None, None))
            if received is not None:
                self.values.update(received=str(received), in_flight=str(in_flight))

    monkeypatch.setattr(demo, "_STUCK_S", 0.01)
    whole = Executor((0, 0), (1, 1), (2, 1), (3, 2), (3, 1), (3, 0))
    demo._wait_for_results(whole, whole.values, 3)  # type: ignore[arg-type]
    assert next(whole.reports, None) is None
    stuck = Executor((0, 0), (2, 1))
    with pytest.raises(demo.DemoError, match=r"the next of 3 results \(2 images received, 1 of them in flight\)"):
        demo._wait_for_results(stuck, stuck.values, 3)  # type: ignore[arg-type]


@needs_ros
def test_the_demo_counts_frames_by_track() -> None:
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    from a2vis_ros.tools.demo import track_table

    states = {3: (0, 1, 1, 2, 2, 2, 3), 4: (0, 4), 9: (1,)}
    arrays = []
    for track_id, sequence in states.items():
        for state in sequence:
            track = TrackedInstance(track_id=track_id, state=state, class_name="Ball")
            arrays.append(TrackedInstanceArray(instances=[track]))
    lines = [line.split() for line in track_table(arrays).splitlines()[1:]]
    assert lines == [["3", "Ball", "3", "3", "1"], ["9", "Ball", "1", "0", "0"]]


@needs_ros
def test_the_demo_writes_out_the_names_of_classes() -> None:
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    from a2vis_ros.tools.demo import track_table

    track = TrackedInstance(track_id=1, state=1, class_name="Ball\n\x1b[2J" * 1000)
    table = track_table([TrackedInstanceArray(instances=[track])])
    assert all(line.isprintable() and len(line) < 100 for line in table.split("\n"))


@needs_ros
def test_a_log_of_the_demo_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_ros.tools import demo

    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "")
    (tmp_path / "log.txt").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(demo.rclpy, "init", lambda args: None)
    monkeypatch.setattr(demo, "end", lambda: None)
    with pytest.raises(FileExistsError):
        demo._live(tmp_path, "onboard", 1, 1.0)
    assert not (tmp_path / "victim").exists()
