"""The launch files, run for real where the launch system is installed."""

import importlib.util
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from paths import ROOT
from ros_helpers import PATIENCE_S, Peer, image, needs_ros

from a2vis_model import ModelConfig, VideoNetwork, save_weights

pytestmark = [
    needs_ros,
    pytest.mark.usefixtures("no_process_is_left_over"),
    pytest.mark.skipif(
        importlib.util.find_spec("launch_ros") is None,
        reason="launch and launch_ros are not installed: they are on no package index, only on a ROS 2 machine",
    ),
]


def installed() -> bool:
    """Whether the launch system would find our programs."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return any((Path(prefix) / "lib" / "a2vis_ros" / "a2vis_node").exists() for prefix in prefixes if prefix)


needs_install = pytest.mark.skipif(
    not installed(), reason="a2vis_node is in no lib/a2vis_ros of AMENT_PREFIX_PATH; build with colcon and source it"
)


@contextmanager
def launched(file: str, log: Path, **arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    code = (
        "import sys; from launch import LaunchDescription, LaunchService;"
        "from launch.actions import IncludeLaunchDescription;"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource;"
        "service = LaunchService();"
        "source = PythonLaunchDescriptionSource(sys.argv[1]);"
        "given = [a.split(':=', 1) for a in sys.argv[2:]];"
        "service.include_launch_description("
        "LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given)]));"
        "sys.exit(service.run())"
    )
    given = [f"{name}:={value}" for name, value in arguments.items()]
    # One of ours, or a file elsewhere by its whole path.
    command = [sys.executable, "-c", code, str(ROOT / "launch" / file), *given]
    with open(log, "wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            yield running
        except BaseException:
            print(log.read_text())
            raise
        finally:
            running.send_signal(signal.SIGINT)
            try:
                running.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
                raise


@pytest.mark.parametrize("file", ["a2vis.launch.py", "replay.launch.py", "two_cameras.launch.py"])
def test_every_argument_is_described(file: str) -> None:
    from launch.actions import DeclareLaunchArgument

    description = runpy.run_path(str(ROOT / "launch" / file))["generate_launch_description"]()
    arguments = [entity for entity in description.entities if isinstance(entity, DeclareLaunchArgument)]
    assert len(arguments) >= 8
    for argument in arguments:
        assert len(argument.description) > 3
        assert argument.description != "no description given", argument.name


class Described:
    """What a launch file would start with these arguments, and how; nothing is started."""

    def __init__(self, file: str, **arguments: str) -> None:
        from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
        from launch.utilities import perform_substitutions

        from launch import LaunchContext

        context = LaunchContext()
        context.launch_configurations.update(arguments)
        self.said: list[str] = []
        self.environments: dict[str, dict[str, str]] = {}
        self.arguments: dict[str, list[str]] = {}

        def text(value: Any) -> str:
            return perform_substitutions(context, value)

        for entity in runpy.run_path(str(ROOT / "launch" / file))["generate_launch_description"]().entities:
            if isinstance(entity, DeclareLaunchArgument):
                entity.execute(context)
            elif isinstance(entity, OpaqueFunction):
                for action in entity.execute(context) or []:
                    if isinstance(action, LogInfo):
                        self.said.append(text(action.msg))
                    else:
                        extra = action.process_description.additional_env or []
                        self.environments[action.node_executable] = {text(k): text(v) for k, v in extra}
                        # Between the program, which is not there everywhere, and what is worked out when it starts.
                        parts = map(text, action.process_description.cmd[1:])
                        self.arguments[action.node_executable] = list(iter(partial(next, parts), "--ros-args"))


def test_a_profile_of_the_user_stays_and_ours_is_for_our_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds_large_image.xml")}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    plain = Described("a2vis.launch.py")
    assert plain.environments == dict.fromkeys(("a2vis_node", "object_localizer", "occlusion_monitor", "rviz2"), ours)
    assert set(Described("a2vis.launch.py", large_images="false").environments["a2vis_node"]) == set()
    # Whatever else is launched beside ours is none of our business.
    assert dict(os.environ) == before
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "/etc/mine.xml")
        kept = Described("a2vis.launch.py")
        assert kept.environments["a2vis_node"] == {}
        assert [f"{name} is set and is left as it is" in words for words in kept.said] == [True]
        monkeypatch.delenv(name)


def test_rviz_shows_the_frame_in_which_objects_are_placed() -> None:
    for given, expected in (("map", ["-f", "map"]), ("", [])):
        found = Described("a2vis.launch.py", localize="true", fixed_frame=given).arguments["rviz2"]
        assert (found[0], found[2:]) == ("-d", expected)


def in_a_group(folder: Path) -> Path:
    """A launch file as those of robots are: ours is included under a namespace."""
    file = folder / "bringup.launch.py"
    file.write_text(
        "from launch import LaunchDescription\n"
        "from launch.actions import GroupAction, IncludeLaunchDescription\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "from launch_ros.actions import PushRosNamespace, SetParameter\n"
        "def generate_launch_description():\n"
        f"    source = PythonLaunchDescriptionSource({str(ROOT / 'launch' / 'a2vis.launch.py')!r})\n"
        "    group = [PushRosNamespace('robot1'), SetParameter('use_sim_time', True)]\n"
        "    return LaunchDescription([GroupAction([*group, IncludeLaunchDescription(source)])])\n",
        encoding="utf-8",
    )
    return file


def parameters(peer: Peer, node: str, *names: str) -> dict[str, Any]:
    from rcl_interfaces.srv import GetParameters
    from rclpy.parameter import parameter_value_to_python

    values = peer.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=names)).values
    return dict(zip(names, map(parameter_value_to_python, values), strict=True))


@needs_install
def test_in_the_namespace_of_a_group_the_file_s_parameters_count_where_no_argument_is_given(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig
) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    file = tmp_path / "params.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n"
        f"    weights: {tmp_path / 'w.safetensors'}\n    policy: every_frame\n    backend: eager\n    stride: 2\n"
        "/robot1/a2vis:\n  ros__parameters:\n    device: cpu\n    transport: compressed\n    stride: 3\n"
        "/robot1/occlusion_monitor:\n  ros__parameters:\n    margin_px: 3.0\n    region: [1, 2, 3, 4]\n",
        encoding="utf-8",
    )
    peer = Peer()
    given = {"params_file": file, "transport": "raw", "monitor": "true", "image": "/camera/image_raw"}
    with launched(str(in_a_group(tmp_path)), tmp_path / "log", **given):
        life = peer.lifecycle("/robot1/a2vis")
        peer.until(lambda: life.state() == "active")
        found = parameters(
            peer, "/robot1/a2vis", "policy", "backend", "device", "transport", "stride", "use_sim_time", "precision"
        )
        assert found == {
            "policy": "every_frame",
            "backend": "eager",
            "device": "cpu",
            "transport": "raw",
            "stride": 3,
            "use_sim_time": True,
            "precision": "fp32",
        }
        peer.until(lambda: peer.node.count_subscribers("/camera/image_raw") == 1)
        monitor = parameters(peer, "/robot1/occlusion_monitor", "margin_px", "region", "use_sim_time")
        assert monitor == {"margin_px": 3.0, "region": [1, 2, 3, 4], "use_sim_time": True}
    # Ended while it was active.
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "stopped; 0 received" in said
    assert "rosout" not in said
    assert "Traceback" not in said
    peer.close()


@needs_install
def test_a_node_that_was_killed_comes_back_active_and_in_a_session_of_its_own(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig
) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from sensor_msgs.msg import Image

    save_weights(tmp_path / "w.safetensors", model, config)
    peer = Peer()
    tracks = peer.listen(TrackedInstanceArray, "/a2vis/tracks")
    camera = peer.node.create_publisher(Image, "/image", 10)

    def answered(session: int) -> bool:
        camera.publish(image(1.0))
        peer.spin(0.2)
        return any(message.session != session for message in tracks)

    given = {"weights": tmp_path / "w.safetensors", "respawn": "true", "respawn_delay": "0.1"}
    with launched("a2vis.launch.py", tmp_path / "log", **given) as launch:
        peer.until(lambda: answered(0))
        first = tracks[0]
        assert first.session
        nodes = [
            p for p in psutil.Process(launch.pid).children(recursive=True) if "a2vis_node" in " ".join(p.cmdline())
        ]
        assert len(nodes) == 1
        nodes[0].kill()
        # Without anybody who asks it to.
        peer.until(lambda: answered(first.session))
        assert (tracks[-1].epoch, tracks[-1].session != first.session) == (0, True)
    peer.close()


@needs_install
@pytest.mark.parametrize("autostart", ["true", "false"])
def test_a_camera_with_its_monitor_in_a_namespace(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig, autostart: str
) -> None:
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstanceArray
    from sensor_msgs.msg import Image

    save_weights(tmp_path / "w.safetensors", model, config)
    arguments = {
        "namespace": "front",
        "name": "eyes",
        "image": "/camera/image_raw",
        "weights": tmp_path / "w.safetensors",
        "monitor": "true",
        "policy": "every_frame",
        "region": "[0, 0, 10, 10]",
        "autostart": autostart,
    }
    peer = Peer()
    with launched("a2vis.launch.py", tmp_path / "log", **arguments):
        life = peer.lifecycle("/front/eyes")
        if autostart == "false":
            peer.spin(3.0)
            assert life.state() == "unconfigured"
        else:
            peer.until(lambda: life.state() == "active")
            tracks = peer.listen(TrackedInstanceArray, "/front/eyes/tracks")
            hidden = peer.listen(HiddenObjectArray, "/front/occlusion_monitor/hidden")
            camera = peer.node.create_publisher(Image, "/camera/image_raw", 10)
            peer.until(lambda: camera.publish(image(1.0)) or (tracks and hidden))
            assert hidden[0].region.width == 10
    peer.close()


@needs_install
def test_two_cameras(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    peer = Peer()
    with launched(
        "two_cameras.launch.py", tmp_path / "log", weights=tmp_path / "w.safetensors", right_image="/other/image_raw"
    ):
        for node, topic in (("/left/a2vis", "/left/image"), ("/right/a2vis", "/other/image_raw")):
            life = peer.lifecycle(node)
            peer.until(lambda life=life: life.state() == "active")
            peer.until(lambda topic=topic: peer.node.count_subscribers(topic) == 1)
    peer.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": "/camera/image_raw"}, "is the topic of one camera; with cameras give images"),
        ({"camera_info": "/left/camera_info"}, "one topic for all cameras; give a name in their namespaces"),
        ({"depth_topic": "/left/depth"}, "one topic for all cameras; give a name in their namespaces"),
    ],
)
def test_what_fits_one_camera_alone_is_refused_where_there_are_several(given: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Described("a2vis.launch.py", cameras="left right", **given)


@needs_install
def test_cameras_of_one_node_have_a_monitor_and_a_localizer_each(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig
) -> None:
    from a2vis_ros.msg import HiddenObjectArray
    from sensor_msgs.msg import Image

    save_weights(tmp_path / "w.safetensors", model, config)
    peer = Peer()
    given = {
        "namespace": "robot",
        "cameras": "left right",
        "images": "/camera/image_raw image_raw",
        "weights": tmp_path / "w.safetensors",
        "policy": "every_frame",
        "monitor": "true",
        "localize": "true",
    }
    with launched("a2vis.launch.py", tmp_path / "log", **given):
        life = peer.lifecycle("/robot/a2vis")
        peer.until(lambda: life.state() == "active")
        topics = {"left": "/camera/image_raw", "right": "/robot/right/image_raw"}
        for name, topic in topics.items():
            place = f"/robot/{name}"
            peer.until(lambda topic=topic: peer.node.count_subscribers(topic) == 1)
            # The two subscribers are the camera's monitor and its localizer.
            peer.until(lambda place=place: peer.node.count_subscribers(f"{place}/a2vis/tracks") == 2)
            peer.until(lambda place=place: peer.node.count_subscribers(f"{place}/camera_info") == 1)
            hidden = peer.listen(HiddenObjectArray, f"{place}/occlusion_monitor/hidden")
            peer.until(lambda place=place: peer.node.count_publishers(f"{place}/occlusion_monitor/hidden"))
            camera = peer.node.create_publisher(Image, topic, 10)
            peer.until(camera.get_subscription_count)
            peer.acquaint(camera, image(1.0), hidden)
            camera.publish(image(2.0))
            peer.until(lambda hidden=hidden: hidden)
    peer.close()


@needs_install
def test_the_bag_plays_once_the_node_is_active(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    played = tmp_path / "played"
    player = tmp_path / "ros2"
    player.write_text(f'#!/bin/sh\necho "$@" >> {played}\nexec sleep 60\n', encoding="utf-8")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    peer = Peer()
    with launched(
        "replay.launch.py",
        tmp_path / "log",
        weights=tmp_path / "w.safetensors",
        bag="/a/bag",
        autostart="false",
        namespace="front",
    ):
        life = peer.lifecycle("/front/a2vis")
        life.change("configure")
        peer.spin(3.0)
        assert not played.exists()
        # And once only.
        for transition in ("activate", "deactivate", "activate"):
            life.change(transition)
            peer.until(played.exists)
        peer.spin(1.0)
        assert played.read_text(encoding="utf-8").startswith("bag play /a/bag --clock ")
        assert len(played.read_text(encoding="utf-8").splitlines()) == 1
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
    peer.close()


@needs_install
def test_a_replay_ends_by_itself_with_the_last_answer(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With our own player in place of ros2 bag, which is on no package index."""
    from a2vis_ros.bags.bag_files import BagWriter

    save_weights(tmp_path / "w.safetensors", model, config)
    with BagWriter(tmp_path / "bag", "mcap") as bag:
        for i in range(40):
            bag.write("/camera/image_raw", image(1 + i / 30, seed=i), round((1 + i / 30) * 1e9))
    player = tmp_path / "ros2"
    command = f'exec {sys.executable} -m a2vis_ros.bags.player "$3" --topics /camera/image_raw --clock --speed 20'
    player.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    given = {"weights": tmp_path / "w.safetensors", "bag": tmp_path / "bag", "image": "/camera/image_raw"}
    with launched("replay.launch.py", tmp_path / "log", **given) as launch:
        assert launch.wait(PATIENCE_S) == 0
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "40 images received = 40 processed + 0 dropped + 0 in flight" in said, said
    assert "Traceback" not in said
