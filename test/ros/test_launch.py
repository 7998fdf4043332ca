"""The launch files, run for real where the launch system is installed."""

import importlib.util
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ros_helpers import ROOT, Peer, image, needs_ros

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
def launched(file: str, log: Path, **arguments: object) -> Iterator[None]:
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
    command = [sys.executable, "-c", code, str(ROOT / "launch" / file), *given]
    with open(log, "wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            yield
        except BaseException:
            print(log.read_text())
            raise
        finally:
            running.send_signal(signal.SIGINT)
            try:
                running.wait(40)
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
            peer.until(lambda: life.state() == "active", 60)
            tracks = peer.listen(TrackedInstanceArray, "/front/eyes/tracks")
            hidden = peer.listen(HiddenObjectArray, "/front/occlusion_monitor/hidden")
            camera = peer.node.create_publisher(Image, "/camera/image_raw", 10)
            peer.until(camera.get_subscription_count)
            peer.until(lambda: peer.node.count_publishers("/front/occlusion_monitor/hidden"))
            peer.spin(1.0)
            camera.publish(image(1.0))
            peer.until(lambda: tracks and hidden)
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
            peer.until(lambda life=life: life.state() == "active", 60)
            peer.until(lambda topic=topic: peer.node.count_subscribers(topic) == 1)
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
        "replay.launch.py", tmp_path / "log", weights=tmp_path / "w.safetensors", bag="/a/bag", autostart="false"
    ):
        life = peer.lifecycle("/a2vis")
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
