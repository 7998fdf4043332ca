"""Markers for RViz: what they show of an object is what is known of it."""

import math
from typing import Any

import numpy as np
import pytest
from ros_helpers import needs_ros
from scipy.spatial.transform import Rotation

from a2vis_ros.space.emergence import Emergence
from a2vis_ros.space.localizer import Localized, LocatedObject, State
from a2vis_ros.space.placement import Source

pytestmark = needs_ros

YAW = 0.5
"""Angle by which the box is turned, in radians."""
STD = (0.3, 0.1)
"""Standard deviations of the position along the box and across it, in metres."""


def seen(track_id: int = 7, **changes: Any) -> LocatedObject:
    turn = Rotation.from_euler("z", YAW)
    covariance = np.eye(6) * 0.01
    covariance[:3, :3] = turn.as_matrix() @ np.diag([STD[0] ** 2, STD[1] ** 2, 0.04]) @ turn.as_matrix().T
    whole = LocatedObject(
        track_id=track_id,
        state=State.VISIBLE,
        class_id=0,
        class_name="person",
        score=0.9,
        existence=1.0,
        hidden_s=0.0,
        measured_s=0.0,
        source=Source.DEPTH,
        position=np.array([4.0, 1.0, 0.85]),
        velocity=np.array([0.0, 1.5, 0.0]),
        covariance=covariance,
        orientation=turn.as_quat(),
        size=np.array([0.5, 0.6, 1.7]),
        size_std=np.full(3, 0.1),
        cut_off=False,
        emergences=(),
    )
    return whole._replace(**changes)


def shown(*objects: LocatedObject) -> dict[str, Any]:
    """The markers of one message by their namespaces, without the first, which deletes those of before."""
    from std_msgs.msg import Header
    from visualization_msgs.msg import Marker

    from a2vis_ros.node.object_markers import object_markers

    result = Localized("odom", list(objects), None, 0, 0)  # type: ignore[arg-type]
    first, *markers = object_markers(result, Header(frame_id="odom")).markers
    assert first.action == Marker.DELETEALL
    assert {marker.header.frame_id for marker in markers} <= {"odom"}
    return {marker.ns: marker for marker in markers}


def test_the_box_is_where_and_as_large_as_the_object() -> None:
    box = shown(seen())["boxes"]
    assert (box.pose.position.x, box.pose.position.y, box.pose.position.z) == (4.0, 1.0, 0.85)
    assert (box.scale.x, box.scale.y, box.scale.z) == (0.5, 0.6, 1.7)
    assert (box.pose.orientation.z, box.pose.orientation.w) == pytest.approx((math.sin(YAW / 2), math.cos(YAW / 2)))


def test_the_ellipse_is_that_of_two_standard_deviations() -> None:
    ellipse = shown(seen())["covariances"]
    turn = ellipse.pose.orientation
    axes = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
    # Its half axes lie along the box and across it; which is called x is all the same.
    along = np.array([math.cos(YAW), math.sin(YAW), 0.0])
    lengths = {
        abs(round(float(axes[:, i] @ along))): size / 2 for i, size in enumerate((ellipse.scale.x, ellipse.scale.y))
    }
    assert lengths == {1: pytest.approx(2 * STD[0]), 0: pytest.approx(2 * STD[1])}
    assert abs(float(axes[:, 2] @ [0, 0, 1])) == pytest.approx(1)
    assert ellipse.pose.position.z == pytest.approx(0.0)


def test_the_arrow_is_the_way_of_a_second_and_what_stands_has_none() -> None:
    tail, head = shown(seen())["velocities"].points
    assert (head.x - tail.x, head.y - tail.y, head.z - tail.z) == pytest.approx((0.0, 1.5, 0.0))
    assert "velocities" not in shown(seen(velocity=np.array([0.1, 0.0, 0.0])))


def test_hidden_ones_are_faded_the_more_the_less_they_are_confirmed_in() -> None:
    way = Emergence(np.array([4.0, 2.0, 0.85]), 0.5, math.nan)
    alphas = [shown(seen())["boxes"].color.a]
    for existence in (0.9, 0.2):
        markers = shown(seen(state=State.LOST, existence=existence, hidden_s=2.5, emergences=(way,)))
        alphas.append(markers["boxes"].color.a)
        assert markers["ids"].text == f"person 7, hidden 2.5 s, {existence:.0%}"
        assert markers["velocities"].color.a < 1
        assert (markers["emergences_0"].pose.position.x, markers["emergences_0"].pose.position.y) == (4.0, 2.0)
    assert alphas[0] > 2 * alphas[1] > 4 * alphas[2] > 0
    assert "emergences_0" not in shown(seen())


def test_what_has_ended_is_not_shown_and_large_ids_are_told_apart() -> None:
    assert shown(seen(state=State.ENDED)) == {}
    ids = {shown(seen(track_id))["boxes"].id for track_id in (1, 2**31 - 1, 2**31, 2**32 - 1)}
    assert len(ids) == 4
