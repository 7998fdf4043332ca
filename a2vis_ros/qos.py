"""Qualities of service: the defaults of every topic, and mismatches in words.

Each default may be overridden by parameters, `qos_overrides.<topic>.<publisher|subscription>.<policy>`.
"""

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)

# What a publisher has to offer, at least, to what a subscription asks for.
_REMEDIES = {
    QoSPolicyKind.RELIABILITY: ("reliability", "best_effort"),
    QoSPolicyKind.DURABILITY: ("durability", "volatile"),
    QoSPolicyKind.DEADLINE: ("deadline", "0"),
    QoSPolicyKind.LIVELINESS: ("liveliness", "automatic"),
}


def image_qos(policy: str) -> QoSProfile:
    """Of the image subscription: best effort for a live camera; for replay reliable, and nothing is overwritten."""
    if policy == "latest":
        # Best effort takes from any publisher. More than one, because images arrive in bursts.
        return _profile(ReliabilityPolicy.BEST_EFFORT, 3)
    # With KEEP_LAST of any depth a reader overwrites what the node has not taken yet, and tells nobody.
    return QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)


def result_qos() -> QoSProfile:
    """Of the tracked instances: small, and not to be lost."""
    return _profile(ReliabilityPolicy.RELIABLE, 30)


def picture_qos() -> QoSProfile:
    """Of images to look at."""
    return _profile(ReliabilityPolicy.RELIABLE, 1)


def latched_qos() -> QoSProfile:
    """Of what is said once to everybody, also to those who come later."""
    return _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)


def mismatch_of_subscription(topic: str, kind: QoSPolicyKind) -> str:
    """Why a publisher's messages do not come, and what to do."""
    policy, weaker = _REMEDIES.get(kind, (kind.name.lower(), "a weaker value"))
    return (
        f"a publisher on {topic} offers less {policy} than this node asks for, so nothing of it arrives; set the "
        f"parameter qos_overrides.{topic}.subscription.{policy} to {weaker}, or raise the publisher's"
    )


def mismatch_of_publisher(topic: str, kind: QoSPolicyKind) -> str:
    """Why a subscriber gets nothing, and what to do."""
    policy, _ = _REMEDIES.get(kind, (kind.name.lower(), ""))
    return (
        f"a subscriber to {topic} asks for more {policy} than this node offers, so it gets nothing; lower it there, or "
        f"set the parameter qos_overrides.{topic}.publisher.{policy}"
    )


def silence(topic: str, publishers: int, seconds: float) -> str:
    """Why no image may have come for so long."""
    if publishers == 0:
        return (
            f"no publisher on {topic} for {seconds:.0f} s; start the camera, or remap: --ros-args -r image:=/your/topic"
        )
    return (
        f"{publishers} publisher(s) on {topic}, but no image for {seconds:.0f} s; is the camera running, does the type "
        "fit the parameter transport, and do large images get through (config/fastdds_large_image.xml)?"
    )


def _profile(
    reliability: ReliabilityPolicy, depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)
