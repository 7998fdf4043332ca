"""Targets of the fuzzer that need ROS: bags, of which a file of a whole one or of a killed recorder is damaged, and the
messages of planners.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damage import ODD_YAML, damaged
from fuzzing import Strategy, Target
from hypothesis import strategies as st
from ros_helpers import image

from a2vis_model.errors import A2VISError
from a2vis_model.render import render_clip, write_clip
from a2vis_ros.bags.bag_files import GROUND_TRUTH, BagReader, BagWriter, Storage, reindex
from a2vis_ros.bags.replay import tracks_in
from a2vis_ros.bags.scoring import score
from a2vis_ros.bags.space_scoring import BagFrames
from a2vis_ros.bags.to_bag import write_bag as write_video
from a2vis_ros.bags.video_source import AnnotatedVideo
from a2vis_ros.space.camera import CameraError
from a2vis_ros.space.ground import GroundError
from a2vis_ros.space.localizer import FrameError
from a2vis_ros.space.transforms import TransformError
from a2vis_ros.wire.counts import MAX_INSTANCES
from a2vis_ros.wire.exact_text import MessageError, received, serialized

_SUFFIX = {"mcap": ".mcap", "sqlite3": ".db3"}


def write_bag(path: Path, storage: Any, *, closed: bool) -> None:
    """A bag of four small images on two topics; not closed, as after a kill."""
    shutil.rmtree(path, ignore_errors=True)
    writer = BagWriter(path, storage)
    with writer:
        for index in range(4):
            writer.write(f"/image_{index % 2}", image(index, seed=index), 100 - index)
        writer.flush()
        if not closed:
            shutil.copytree(path, path.with_name("killed"), dirs_exist_ok=True)
    if not closed:
        shutil.rmtree(path)
        path.with_name("killed").rename(path)


def _target(storage: Storage, changed: str, read: Callable[[Path], None], *, closed: bool = True) -> Target:
    whole: dict[str, bytes] = {}

    def inputs(folder: Path) -> Strategy:
        write_bag(folder / "bag", storage, closed=closed)
        whole.update({file.name: file.read_bytes() for file in (folder / "bag").iterdir()})
        return damaged([whole[changed]], ODD_YAML if changed.endswith(".yaml") else None)

    def run(content: bytes, folder: Path) -> None:
        bag = folder / "bag"
        shutil.rmtree(bag, ignore_errors=True)
        bag.mkdir()
        for name, before in whole.items():
            (bag / name).write_bytes(content if name == changed else before)
        try:
            read(bag)
        finally:
            assert [path.name for path in folder.iterdir()] == ["bag"]

    return Target(inputs, run)


def _read(path: Path) -> None:
    from sensor_msgs.msg import Image

    with BagReader(path) as bag:
        assert all(isinstance(kind, str) for kind in bag.topics.values())
        with contextlib.suppress(A2VISError):
            bag.topic_of(Image)
        for topic in bag.topics:
            bag.count(topic)
            with contextlib.suppress(A2VISError):
                list(bag.messages(Image, topic))
        list(bag.raw())


def _repair(path: Path) -> None:
    count = reindex(path)
    with BagReader(path) as bag:
        assert len(list(bag.raw())) == count


def _messages(folder: Path) -> Strategy:
    """Serialised messages of tracks, objects, hidden objects and transforms, each with the name of its type."""
    from a2vis_ros.msg import (
        HiddenObject,
        HiddenObjectArray,
        TrackedInstance,
        TrackedInstanceArray,
        TrackedObject,
        TrackedObjectArray,
    )

    from a2vis_ros.bags.space_messages import TRANSFORMS, transform_bytes

    header = image(1.0).header
    whole = [
        TrackedInstanceArray(header=header, backend="eager", instances=[TrackedInstance(class_name="a")] * 3),
        TrackedObjectArray(header=header, camera_frame_id="camera", objects=[TrackedObject(class_name="a")] * 3),
        HiddenObjectArray(header=header, objects=[HiddenObject()] * 3),
    ]
    contents = [(type(message), serialized(message)) for message in whole]
    contents.append((TRANSFORMS, transform_bytes("map", header, (0.0, 1.0, 2.0), (0.0, 0.0, 0.0, 1.0))))
    return st.one_of(*(st.tuples(st.just(kind), damaged([content])) for kind, content in contents))


def _read_message(values: tuple[Any, bytes], folder: Path) -> None:
    from a2vis_ros.bags.space_messages import transforms_of

    kind, content = values
    if isinstance(kind, str):
        assert len(transforms_of(content)) <= MAX_INSTANCES
    else:
        message = received(content, kind)
        last = [*kind.get_fields_and_field_types()][-1]
        assert len(getattr(message, last)) <= MAX_INSTANCES


_SPACE = (A2VISError, CameraError, FrameError, GroundError, TransformError)
"""What the scoring of positions in space raises for messages that it cannot use."""


def _space_target() -> Target:
    """A bag that knows where objects are, of which one message is damaged; everything that is scored is read."""
    topics: dict[str, str] = {}
    messages: list[tuple[str, int, bytes]] = []

    def inputs(folder: Path) -> Strategy:
        write_clip(render_clip(world="robot", seed=3, frames=2, height=32, width=48, space=True), folder / "clip")
        write_video(AnnotatedVideo.open(folder / "clip"), folder / "bag")
        with BagReader(folder / "bag") as bag:
            topics.update(bag.topics)
            messages.extend(bag.raw())
        numbers = [index for index, (topic, _, _) in enumerate(messages) if topic != "/image"]
        return st.one_of(*(st.tuples(st.just(index), damaged([messages[index][2]])) for index in numbers))

    def run(values: tuple[int, bytes], folder: Path) -> None:
        changed, content = values
        shutil.rmtree(folder / "bag", ignore_errors=True)
        with BagWriter(folder / "bag", "mcap") as bag:
            for index, (topic, time_ns, before) in enumerate(messages):
                bag.write_raw(topic, topics[topic], content if index == changed else before, time_ns)
        for frame in BagFrames(folder / "bag"):
            str(frame)
        with contextlib.suppress(A2VISError):
            tracks = tracks_in(folder / "bag", GROUND_TRUTH)
            score(tracks, tracks, (), folder / "scores")

    return Target(inputs, run, _SPACE)


BAG_TARGETS: dict[str, Target] = {
    "bags, MCAP": _target("mcap", "bag.mcap", _read),
    "bags, SQLite": _target("sqlite3", "bag.db3", _read),
    "bags, metadata": _target("mcap", "metadata.yaml", _read),
    "bags, reindex MCAP": _target("mcap", "bag.mcap", _repair, closed=False),
    "bags, reindex SQLite": _target("sqlite3", "bag.db3", _repair, closed=False),
    "bags, truth in space": _space_target(),
    "planners' messages, serialised": Target(_messages, _read_message, (MessageError,)),
}
