"""Qualities of service: defaults by policy and by what publishers offer, and the user's overrides of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from ros_helpers import Peer, needs_ros

from a2vis_ros.stream.parameters import ParameterError

pytestmark = needs_ros

NAME = "qos_overrides./image.subscription"


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


def test_latest_takes_what_is_offered_and_every_frame_asks_for_all() -> None:
    from rclpy.qos import HistoryPolicy, ReliabilityPolicy

    from a2vis_ros.node.qos import image_qos, in_words

    reliable, best_effort = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
    offers = {(): best_effort, (reliable, reliable): reliable, (reliable, best_effort): best_effort}
    for offered, taken in offers.items():
        assert image_qos("latest", offered).reliability == taken
        every_frame = image_qos("every_frame", offered)
        assert (every_frame.reliability, every_frame.history) == (reliable, HistoryPolicy.KEEP_ALL)
    assert in_words(image_qos("latest", ())) == "best effort, keep last 3"
    assert in_words(image_qos("every_frame", ())) == "reliable, keep all"


def test_an_override_counts_and_a_default_is_that_of_now(peer: Peer) -> None:
    from rclpy.parameter import Parameter

    from a2vis_ros.node.qos import image_qos, in_words, overridden

    def now(policy: str) -> str:
        return in_words(overridden(peer.node, "subscription", "/image", image_qos(policy, ())))

    # The policy may change between two configurations, and its quality with it.
    assert [now(policy) for policy in ("latest", "every_frame", "latest")] == [
        "best effort, keep last 3",
        "reliable, keep all",
        "best effort, keep last 3",
    ]

    def put(policy: str, value: Any) -> None:
        assert peer.node.set_parameters([Parameter(f"{NAME}.{policy}", value=value)])[0].successful

    put("depth", 7)
    assert now("latest") == "best effort, keep last 7"
    put("reliability", "reliable")
    put("history", "keep_last")
    assert now("every_frame") == "reliable, keep last 7"
    put("depth", None)
    with pytest.raises(ParameterError, match=r"history=keep_last needs subscription\.depth too"):
        now("every_frame")
    put("depth", 0)
    with pytest.raises(ParameterError, match=r"history=keep_last needs subscription\.depth too"):
        now("every_frame")
    for nothing in ("", None):
        put("history", nothing)
        assert now("every_frame") == "reliable, keep all"
    put("reliability", "best_efort")
    with pytest.raises(ParameterError, match="reliability='best_efort' is none of reliable, best_effort"):
        now("every_frame")


@pytest.mark.parametrize(
    ("policy", "value", "words"),
    [
        ("reliability", "best_efort", "'best_efort' is none of reliable, best_effort"),
        ("reliability", 1, "1 is none of"),
        ("history", "all", "none of keep_last, keep_all"),
        ("durability", "latched", "none of volatile, transient_local"),
        ("depth", -1, "-1 is no whole number from 1 to 100000, or 0"),
        ("depth", True, "True is no whole number"),
        ("depth", "10", "'10' is no whole number"),
        ("deadline", 3, "'deadline' cannot be set; there are reliability, durability, history, depth"),
    ],
)
def test_overrides_that_mean_nothing_are_refused_in_words(policy: str, value: Any, words: str) -> None:
    from a2vis_ros.node.qos import override

    with pytest.raises(ParameterError, match=words) as refused:
        override(f"{NAME}.{policy}", value)
    assert f"{NAME}.{policy}" in str(refused.value)


def test_mismatches_name_only_parameters_that_there_are() -> None:
    from rclpy.qos import QoSPolicyKind

    from a2vis_ros.node.qos import mismatch_of_publisher, mismatch_of_subscription

    for kind, there in ((QoSPolicyKind.DURABILITY, True), (QoSPolicyKind.DEADLINE, False)):
        for said in (mismatch_of_subscription("/image", kind), mismatch_of_publisher("/image", kind)):
            assert ("qos_overrides./image." in said) == there


def test_silence_says_what_is_wrong() -> None:
    from a2vis_ros.node.qos import silence

    image, compressed = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
    nobody = silence("/image", image, [], ["/camera/image_raw"], 5.4)
    assert nobody.startswith("no publisher on /image for 5 s; there are images on /camera/image_raw")
    # A remap that was given is not advised again.
    assert "image:=" not in nobody
    assert "set the parameter transport to compressed" in silence("/image", image, [compressed], [], 5)
    assert "set the parameter transport to raw" in silence("/image/compressed", compressed, [image], [], 5)
    assert "/points is of type sensor_msgs/msg/PointCloud2" in silence(
        "/points", image, ["sensor_msgs/msg/PointCloud2"], [], 5
    )
    assert "1 publisher(s) on /image, but no image for 5 s" in silence("/image", image, [image], [], 5)


@pytest.mark.parametrize(
    ("age", "sim_time", "clock", "clocks", "words"),
    [
        (-1795690797.0, True, 0, 0, "use_sim_time is set, but /clock stands at 0: nobody publishes it"),
        (-1795690797.0, True, 0, 1, "nothing has come on it"),
        (-5000.0, True, 10**9, 1, "stamped 5000 s after the time on /clock"),
        (1795690797.0, False, 10**18, 0, "1795690797 s before this node's clock"),
        (-4000.0, False, 10**18, 0, "4000 s after this node's clock"),
    ],
)
def test_ages_that_cannot_be_are_explained(age: float, sim_time: bool, clock: int, clocks: int, words: str) -> None:
    from a2vis_ros.node.qos import clock_advice

    said = clock_advice(age, sim_time, clock, clocks)
    assert words in said
    # Nobody is told to do what he has done.
    assert ("set use_sim_time" in said.replace("unset use_sim_time", "")) == (not sim_time)


def test_two_cameras_on_one_topic_are_named() -> None:
    from a2vis_ros.node.qos import mixed_sources

    said = mixed_sources("/image", 2, ("left", "right"))
    assert said.startswith("2 publishers on /image send images with different frame_ids, 'left' and 'right'; give each")


def test_what_others_publish_is_quoted_and_cut() -> None:
    from a2vis_ros.node.qos import mixed_sources, silence

    hostile = "x\n[ERROR] all is lost\x1b[2J" * 100_000
    image = "sensor_msgs/msg/Image"
    for said in (
        mixed_sources("/image", 2, (hostile, f"{hostile}y")),
        silence("/image", image, [hostile], [], 3.0),
        silence("/image", image, [], [hostile, f"{hostile}y"], 3.0),
    ):
        assert said.isprintable()
        assert len(said) < 600


def test_a_status_is_cut_whatever_the_report_holds(peer: Peer) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    from a2vis_ros.node.status_publisher import StatusPublisher
    from a2vis_ros.programs.reports import Level, Report

    hostile = "x\n\x1b[2J" * 1_000_000
    heard = peer.listen(DiagnosticArray, "/diagnostics")
    report = Report(Level.WARN, hostile, ((hostile, hostile), ("state", "active")))
    status = StatusPublisher(peer.node, "a2vis: tracking", "/image", 0.05, lambda: report)
    peer.until(lambda: heard)
    status.close()
    (found,) = heard[0].status
    for text in (found.message, found.values[0].key, found.values[0].value):
        assert text.isprintable()
        assert text.startswith("x\\n")
        assert len(text) < 1010
    assert (found.values[1].key, found.values[1].value) == ("state", "active")
