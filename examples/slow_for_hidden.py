"""A planner that slows down for whom it cannot see: how fast a robot may drive straight on, from ~/objects."""

import math

from a2vis_ros.msg import TrackedInstance, TrackedObject, TrackedObjectArray
from geometry_msgs.msg import Point

BRAKE, REACTION_S = 1.0, 0.3
"""How hard the robot brakes, in m/s², and how long after it sees somebody."""
HALF_WIDTH, MARGIN, WALK = 0.6, 1.0, 2.0
"""Half the width of the robot's way and distance to people, in m; speed at which one may step onto the way, in m/s."""
HIDDEN = (TrackedInstance.OCCLUDED, TrackedInstance.LOST)


def allowed_speed(message: TrackedObjectArray, x: float, y: float, yaw: float, cruise: float) -> float:
    """The greatest speed in m/s at which the robot can still stop for every hidden person who may come out.

    Args:
        message: objects in the frame of the robot's pose.
        x: of that pose, in metres.
        y: of that pose, in metres.
        yaw: of that pose, in radians.
        cruise: its speed where nobody is hidden, in m/s; more than 0.
    """
    speed = cruise
    for found in message.objects:
        if found.state in HIDDEN and found.class_name == "person" and found.existence > 0.1:
            speed = min(speed, _speed_before(found, x, y, yaw, cruise))
    return speed


def _speed_before(found: TrackedObject, x: float, y: float, yaw: float, cruise: float) -> float:
    # Where no end of what hides the person is in view, it counts as not hidden at all.
    ways = [(one.point, one.earliest_s) for one in found.emergences] or [(found.pose.pose.position, 0.0)]
    return min(_speed_before_point(at, soon, x, y, yaw, cruise) for at, soon in ways)


def _speed_before_point(at: Point, soon: float, x: float, y: float, yaw: float, cruise: float) -> float:
    ahead = math.cos(yaw) * (at.x - x) + math.sin(yaw) * (at.y - y)
    aside = abs(math.cos(yaw) * (at.y - y) - math.sin(yaw) * (at.x - x))
    on_the_way_s = soon + max(aside - HALF_WIDTH, 0.0) / WALK
    if ahead < 0 or on_the_way_s > (ahead + MARGIN) / cruise:
        return cruise  # Behind the robot, or the robot is past by then.
    room = max(ahead - MARGIN, 0.0)
    return math.sqrt((BRAKE * REACTION_S) ** 2 + 2 * BRAKE * room) - BRAKE * REACTION_S
