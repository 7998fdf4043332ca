"""Quality of service: the defaults of every topic, overrides by the user, and explanations of mismatches.

Each default may be overridden by parameters, `qos_overrides.<topic>.<publisher|subscription>.<policy>`. They have
rclpy's names, but are not declared by its QoSOverridingOptions, which keeps the default that was in force when it
first declared them, and ends in an exception where a value is misspelt.
"""

from collections.abc import Sequence
from typing import Any, Literal

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)

from a2vis_model.errors import printable

from ..programs.parameter_table import ParameterError

_OVERRIDES: dict[str, dict[str, Any]] = {
    "reliability": {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT},
    "durability": {"volatile": DurabilityPolicy.VOLATILE, "transient_local": DurabilityPolicy.TRANSIENT_LOCAL},
    "history": {"keep_last": HistoryPolicy.KEEP_LAST, "keep_all": HistoryPolicy.KEEP_ALL},
    "depth": {},
}
"""Policies that may be overridden, and their values by name; a depth is a number."""
_DEEPEST = 100_000
_LONGEST_TYPE, _LONGEST_LIST = 100, 300
"""Most characters of a type's name, and of a list of topics, that others publish."""

# The strongest values that a subscription may request to match every publisher.
_REMEDIES = {
    QoSPolicyKind.RELIABILITY: ("reliability", "best_effort"),
    QoSPolicyKind.DURABILITY: ("durability", "volatile"),
}


def image_qos(policy: str, offered: Sequence[ReliabilityPolicy]) -> QoSProfile:
    """Return the QoS of the image subscription.

    Args:
        policy: latest accepts whatever is offered; every_frame is for replay, and requests that nothing is lost.
        offered: reliability that the known publishers offer.
    """
    if policy == "latest":
        # Best effort accepts any publisher, but what the transport loses stays lost. The depth is above one because
        # images arrive in bursts.
        reliable = bool(offered) and all(one == ReliabilityPolicy.RELIABLE for one in offered)
        return _profile(ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT, 3)
    # With KEEP_LAST of any depth a reader silently overwrites what the node has not taken yet.
    return QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)


def result_qos() -> QoSProfile:
    """Return the QoS of the tracked instances, which are small and must not be lost."""
    return _profile(ReliabilityPolicy.RELIABLE, 30)


def picture_qos() -> QoSProfile:
    """Return the QoS of images for people to look at."""
    return _profile(ReliabilityPolicy.RELIABLE, 1)


def latched_qos() -> QoSProfile:
    """Return the QoS of messages that are published once and also reach later subscribers."""
    return _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)


def overridden(node: Node, kind: Literal["publisher", "subscription"], topic: str, default: QoSProfile) -> QoSProfile:
    """Return a default with the user's overrides, which are declared as parameters if they are not yet.

    Raises:
        ParameterError: a parameter has an invalid value.
    """
    given: dict[str, Any] = {}
    for policy in _OVERRIDES:
        name = f"qos_overrides.{topic}.{kind}.{policy}"
        if not node.has_parameter(name):
            # A parameter without any value would be "null" in what `ros2 param dump` writes, a word like any other to
            # the node that is started with it.
            unset: str | int = 0 if policy == "depth" else ""
            descriptor = ParameterDescriptor(
                description=f"{policy} of this {kind}; {unset!r}: the node's choice; read when it is made",
                dynamic_typing=True,
            )
            node.declare_parameter(name, unset, descriptor)
        value = override(name, node.get_parameter(name).value)
        if value is not None:
            given[policy] = value
    bounded = given.get("history") == HistoryPolicy.KEEP_LAST and default.history != HistoryPolicy.KEEP_LAST
    if bounded and "depth" not in given:
        raise ParameterError(f"qos_overrides.{topic}.{kind}.history=keep_last needs {kind}.depth too, 1 or more")
    return QoSProfile(**{policy: getattr(default, policy) for policy in _OVERRIDES} | given)


def override(name: str, value: Any) -> Any:
    """Parse the value of an override parameter: None for the node's choice, which is '', a depth of 0, or no value.

    Raises:
        ParameterError: the value is invalid.
    """
    policy = name.rpartition(".")[2]
    values = _OVERRIDES.get(policy)
    if values is None:
        raise ParameterError(f"{name}: {policy!r} cannot be set; there are {', '.join(_OVERRIDES)}")
    if policy == "depth":
        if value is not None and (type(value) is not int or not 0 <= value <= _DEEPEST):
            raise ParameterError(f"{name}={value!r} is no whole number from 1 to {_DEEPEST}, or 0")
        return value or None
    if value not in (None, "") and value not in values:
        raise ParameterError(f"{name}={value!r} is none of {', '.join(values)}")
    return values.get(value)


def in_words(profile: QoSProfile) -> str:
    """Describe a profile, for example "reliable, keep last 3"."""
    reliability = profile.reliability.name.lower().replace("_", " ")
    history = "keep all" if profile.history == HistoryPolicy.KEEP_ALL else f"keep last {profile.depth}"
    return f"{reliability}, {history}"


def mismatch_of_subscription(topic: str, kind: QoSPolicyKind) -> str:
    """Explain why a publisher's messages do not arrive, with the remedy."""
    policy, weaker = _REMEDIES.get(kind, (kind.name.lower(), ""))
    here = f"set the parameter qos_overrides.{topic}.subscription.{policy} to {weaker}, or " if weaker else ""
    return (
        f"a publisher on {topic} offers less {policy} than this node asks for, so nothing of it arrives; {here}raise "
        "the publisher's"
    )


def mismatch_of_publisher(topic: str, kind: QoSPolicyKind) -> str:
    """Explain why a subscriber receives nothing, with the remedy."""
    policy = kind.name.lower()
    here = f", or set the parameter qos_overrides.{topic}.publisher.{policy}" if policy in _OVERRIDES else ""
    asked = f"a subscriber to {topic} asks for more {policy} than this node offers, so it gets nothing"
    return f"{asked}; lower it there{here}"


def silence(topic: str, wanted: str, publishers: Sequence[str], others: Sequence[str], seconds: float) -> str:
    """Explain why no image has arrived for some time.

    Args:
        topic: topic of the subscription.
        wanted: its type, such as sensor_msgs/msg/Image.
        publishers: types of the publishers on it.
        others: topics on which there are images.
        seconds: seconds since the last image.
    """
    if not publishers:
        known = printable(", ".join(sorted(others)), _LONGEST_LIST)
        listed = f"there are images on {known}" if others else "start the camera"
        return f"no publisher on {topic} for {seconds:.0f} s; {listed}, and see that names and ROS_DOMAIN_ID agree"
    if wanted not in publishers:
        remedies = {"sensor_msgs/msg/Image": "raw", "sensor_msgs/msg/CompressedImage": "compressed"}
        fitting = [remedies[kind] for kind in publishers if kind in remedies]
        remedy = f"set the parameter transport to {fitting[0]}" if fitting else "remap image to a topic of images"
        found = printable(publishers[0], _LONGEST_TYPE)
        return f"{topic} is of type {found}, and {wanted} is what this node takes; {remedy}"
    return (
        f"{len(publishers)} publisher(s) on {topic}, but no image for {seconds:.0f} s; is the camera running, and do "
        "large images get through (config/fastdds_large_image.xml)?"
    )


def clock_advice(age_s: float, sim_time: bool, clock_ns: int, clocks: int) -> str:
    """Explain why the stamps of images do not match the node's clock.

    Args:
        age_s: seconds since the image's stamp, by the node's clock.
        sim_time: whether that clock is /clock.
        clock_ns: time of that clock in nanoseconds.
        clocks: number of publishers on /clock.
    """
    if sim_time and not clock_ns:
        what = "nothing has come on it" if clocks else "nobody publishes it"
        return f"use_sim_time is set, but /clock stands at 0: {what}; play the bag with --clock, or unset use_sim_time"
    when = f"{abs(age_s):.0f} s {'before' if age_s > 0 else 'after'}"
    if sim_time:
        return f"images are stamped {when} the time on /clock, so their age is not known; is /clock of the same run?"
    return (
        f"images are stamped {when} this node's clock, so their age is not known; replaying a bag? Play it with "
        "--clock and set use_sim_time"
    )


def mixed_sources(topic: str, publishers: int, frame_ids: Sequence[str]) -> str:
    """Explain that images of different frame_ids take turns, each time with a new epoch."""
    names = " and ".join(f"{name!r:.60}" for name in frame_ids)
    who = f"{publishers} publishers on {topic} send" if publishers > 1 else f"on {topic} there are"
    return f"{who} images with different frame_ids, {names}; give each camera a topic and a node of its own"


def _profile(
    reliability: ReliabilityPolicy, depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)
