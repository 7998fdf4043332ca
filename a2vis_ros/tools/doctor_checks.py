"""The doctor's checks of computer, weights, backends, transport and topic. `doctor` runs those that are possible."""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from a2vis_model import A2VISError, freeze, load_weights
from a2vis_model.backend_names import PRECISIONS
from a2vis_model.backends.choice import backend_obstacle, precision_obstacle
from a2vis_model.backends.engine_cache import EngineCache, Key, engine_key
from a2vis_model.backends.engines import ENGINES, engines_for
from a2vis_model.errors import printable
from a2vis_model.shipped import check_intact, find_weights, shipped_weights
from a2vis_model.weights import read_config

from ..node.messages import image_of, stamp_of
from ..node.qos import image_qos, in_words
from ..programs.spinning import end
from ..stream.image_decoding import ImageError, image_kind, image_size
from .findings import Finding

DEFAULT_SEGMENT = 512 * 1024
"""Size in bytes of Fast DDS' shared memory without a profile; larger images do not use it."""

_KINDS = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
"""Types of images that the node takes."""
_LONGEST_KIND, _LONGEST_LIST = 60, 300
"""Most characters of an image's encoding or format, and of a list of topics or types, that others publish."""
_BUILD = "build it with `a2vis build-engine`; without, the node builds it while it is configured, for minutes"


@dataclass(frozen=True)
class Arrival:
    """An image that arrived while the doctor listened."""

    at: float
    """Arrival time by the monotonic clock, in seconds."""
    age: float
    """Age since its stamp, in seconds."""
    message: Image | CompressedImage


def check_computer() -> list[Finding]:
    """Check Python, torch and the GPU."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}"
    findings = [Finding("ok", "software", versions)]
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        free, total = torch.cuda.mem_get_info(0)
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        findings.append(Finding("ok" if free > 2**30 else "warning", "GPU", f"{name}, {memory}"))
    elif Path("/proc/driver/nvidia/version").exists():
        fix = "install torch from PyPI without a +cpu index, and see that nvidia-smi works"
        findings.append(Finding("error", "GPU", "there is an NVIDIA driver, but torch cannot use it", fix))
    else:
        text = f"none; the node runs on {os.cpu_count()} CPU cores"
        findings.append(Finding("note", "GPU", text, "use weights of the preset onboard, which is made for that"))
    return findings


def check_weights(weights: str) -> list[Finding]:
    """Check that the weights exist and can be loaded."""
    try:
        config = read_config(weights)
        check_intact(find_weights(weights))
    except A2VISError as error:
        fix = f"set the parameter weights to {' or '.join(shipped_weights())}, or to a file that `a2vis train` wrote"
        return [Finding("error", "weights", str(error), fix)]
    size = f"{config.input_width}x{config.input_height}"
    return [Finding("ok", "weights", f"{weights}: {config.name}, {len(config.classes)} classes, input {size}")]


def check_backends(weights: str, cache: Path) -> list[Finding]:
    """Check which backends can compute this network here, whose engines are in the cache, and what the others lack.

    Returns nothing without usable weights.
    """
    try:
        model, config = load_weights(weights)
    except A2VISError:
        return []
    model = freeze(model.cuda() if torch.cuda.is_available() else model)
    findings = [Finding("ok", "backend eager", "is available")]
    for name in ENGINES:
        about = f"backend {name}"
        obstacle = backend_obstacle(model, name)
        if obstacle is not None:
            findings.append(Finding("note", about, obstacle))
            continue
        for precision in PRECISIONS:
            obstacle = precision_obstacle(model, precision, name)
            if obstacle is not None:
                findings.append(Finding("note", f"{about}, {precision}", obstacle))
                continue
            key = engine_key(model, config, name, precision, engines_for(name, precision).requirements())
            findings.append(_engine(f"{about}, {precision}", cache, key))
    return findings


def _engine(about: str, cache: Path, key: Key) -> Finding:
    if not cache.is_dir():
        return Finding("note", about, f"is available; there are no engines yet in {cache}", _BUILD)
    try:
        kept = EngineCache(cache)
        stored = kept.find(key)
    except A2VISError as error:
        return Finding("error", about, str(error))
    if stored is not None:
        return Finding("ok", about, f"its engine is {stored}")
    others = "".join(f"; {text}" for text in kept.near_misses(key))
    return Finding("note", about, f"is available; its engine is not in {cache}{others}", _BUILD)


def check_transport(bytes_per_image: int | None, *, reliable: bool) -> list[Finding]:
    """Check whether images of this size pass the middleware."""
    rmw = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    profile = os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE") or os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE")
    if "fastrtps" not in rmw:
        return [Finding("note", "transport", f"{rmw}; this package is measured with rmw_fastrtps_cpp only")]
    if profile:
        if not Path(profile).is_file():
            return [Finding("error", "transport", f"the profile {profile} is missing", "correct the variable")]
        return [Finding("ok", "transport", f"{rmw} with the profile {profile}; the camera's process needs it too")]
    if bytes_per_image is None or bytes_per_image < DEFAULT_SEGMENT:
        return [Finding("ok", "transport", f"{rmw} with its defaults")]
    size = f"images of {bytes_per_image / 2**20:.1f} MiB do not fit the shared memory of {rmw}, 0.5 MiB"
    fix = "export FASTRTPS_DEFAULT_PROFILES_FILE=<this package>/config/fastdds_large_image.xml here and for the camera"
    lost = "they use UDP" if reliable else "they use UDP, and a best-effort subscription loses most of them"
    return [Finding("note" if reliable else "warning", "transport", f"{size}; {lost}", fix)]


def check_stream(arrivals: Sequence[Arrival], seconds: float) -> list[Finding]:
    """Check rate, encoding, size, stamps and losses of the received images."""
    first = arrivals[0].message
    image = image_of(first)
    try:
        height, width = image_size(image, max_side=65535)
    except ImageError as error:
        return [Finding("error", "images", str(error))]
    kind = printable(image_kind(image), _LONGEST_KIND)
    findings = [Finding("ok", "images", f"{width}x{height} {kind}, {len(first.data) / 2**20:.2f} MiB each")]
    span = arrivals[-1].at - arrivals[0].at
    stamps = [stamp_of(arrival.message.header) for arrival in arrivals]
    rate = (len(arrivals) - 1) / span if span > 0 else 0.0
    steps = np.diff([stamp.seconds for stamp in stamps])
    positive = steps[steps > 0]
    made = 1 / float(np.median(positive)) if len(positive) else 0.0
    text = f"{len(arrivals)} in {seconds:.0f} s, {rate:.1f} a second arrive, {made:.1f} a second are stamped"
    if made and rate < 0.8 * made:
        findings.append(Finding("warning", "rate", text, "images are lost on the way; see transport"))
    else:
        findings.append(Finding("ok", "rate", text))
    if not all(stamp.is_set for stamp in stamps):
        fix = "let the driver stamp its images; without, gaps and loops cannot be found"
        findings.append(Finding("warning", "stamps", "some are zero", fix))
    elif (steps < 0).any():
        fix = "each time a new epoch begins; is a bag looping, or do two cameras publish here?"
        findings.append(Finding("warning", "stamps", f"{int((steps < 0).sum())} run backwards", fix))
    else:
        age = float(np.median([arrival.age for arrival in arrivals]))
        if abs(age) > 5:
            fix = "if this is a bag, play it with --clock and set use_sim_time"
            findings.append(Finding("warning", "stamps", f"{age:.1f} s from this clock", fix))
        else:
            findings.append(Finding("ok", "stamps", f"images are {age * 1e3:.0f} ms old when they arrive"))
    if not first.header.frame_id:
        findings.append(Finding("note", "frame_id", "is empty", "set it in the driver; it is passed on unchanged"))
    return findings


def check_topic(topic: str, seconds: float) -> list[Finding]:
    """Check whether anybody publishes on the topic, with which type and QoS, and what arrives."""
    rclpy.init(args=[])
    node = Node("a2vis_doctor")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        resolved = node.resolve_topic_name(topic)
        _spin(executor, lambda: node.count_publishers(resolved) > 0, 3.0)
        publishers = node.get_publishers_info_by_topic(resolved)
        if not publishers:
            return [Finding("error", "topic", f"no publisher on {resolved}", _similar(node))]
        types = {info.topic_type for info in publishers}
        if len(types) > 1 or not types <= _KINDS.keys():
            found = printable(", ".join(sorted(types)), _LONGEST_LIST)
            return [Finding("error", "topic", f"{resolved} is {found}, not an image", _similar(node))]
        kind = types.pop()
        offered = publishers[0].qos_profile
        reliable = all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers)
        transport = "compressed" if kind.endswith("CompressedImage") else "raw"
        text = f"{resolved}, {len(publishers)} publisher(s), {kind}, {'reliable' if reliable else 'best effort'}"
        findings = [Finding("ok", "topic", text, f"run the node with transport:={transport}" * (transport != "raw"))]
        if len(publishers) > 1:
            findings.append(Finding("warning", "topic", "several publishers", "use one topic per camera"))
        if not reliable:
            parameter = f"qos_overrides.{resolved}.subscription.reliability:=best_effort"
            text = "the policy latest takes from this publisher, every_frame asks for reliable"
            findings.append(Finding("note", "QoS", text, f"for every_frame set {parameter}"))
        arrivals: list[Arrival] = []

        def take(message: Image | CompressedImage) -> None:
            age = node.get_clock().now().nanoseconds * 1e-9 - stamp_of(message.header).seconds
            arrivals.append(Arrival(time.monotonic(), age, message))

        # The subscription is like the node's default one, so that the same images are lost.
        profile = image_qos("latest", [info.qos_profile.reliability for info in publishers])
        profile.durability = offered.durability
        node.create_subscription(_KINDS[kind], resolved, take, profile)
        _spin(executor, lambda: False, seconds)
        if not arrivals:
            size = None if transport == "compressed" else DEFAULT_SEGMENT
            text = f"none came in {seconds:.0f} s, {in_words(profile)}"
            return [*findings, Finding("error", "images", text), *check_transport(size, reliable=reliable)]
        size = len(arrivals[0].message.data)
        return [*findings, *check_stream(arrivals, seconds), *check_transport(size, reliable=reliable)]
    finally:
        node.destroy_node()
        end()


def _similar(node: Node) -> str:
    topics = node.get_topic_names_and_types()

    def publishers(of: set[str]) -> dict[str, set[tuple[str, str]]]:
        """Namespace and name of the nodes that publish these types, by topic."""
        names = [name for name, types in topics if of & set(types)]
        found = {name: node.get_publishers_info_by_topic(name) for name in names}
        return {name: {(info.node_namespace, info.node_name) for info in infos} for name, infos in found.items()}

    # Our nodes publish images too, beside their tracks; and a topic that somebody waits for has no publisher.
    ours = set[tuple[str, str]]().union(*publishers({"a2vis_ros/msg/TrackedInstanceArray"}).values())
    images = [name for name, nodes in publishers(set(_KINDS)).items() if nodes - ours]
    known = printable(", ".join(sorted(images)), _LONGEST_LIST)
    listed = f"there are images on {known}" if images else "start the camera"
    return f"{listed}; ROS_DOMAIN_ID is {os.environ.get('ROS_DOMAIN_ID', '0')}, the camera's must be the same"


def _spin(executor: SingleThreadedExecutor, done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
