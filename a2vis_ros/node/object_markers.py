"""visualization_msgs/MarkerArray of objects in space: what RViz and Foxglove show of them."""

import math

import numpy as np
from geometry_msgs.msg import Quaternion, Vector3
from scipy.spatial.transform import Rotation
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..space.localizer import Localized, LocatedObject, State
from .space_messages import point, vector

_SIGMA = 2.0
"""Ellipses hold the position with 86 % probability."""
_GOLDEN = 0.6180339887
"""Steps of this through the hues never come close to one before."""
_LEAST_SPEED = 0.2
"""m/s; slower objects have no arrow."""
_HIDDEN_ALPHA, _SEEN_ALPHA = 0.25, 0.7


def object_markers(result: Localized, header: Header) -> MarkerArray:
    """Box, ID, velocity and covariance of every object; hidden ones are faded, the more the less they are confirmed in.

    Each message takes the place of the one before.

    Args:
        result: the objects.
        header: header of the message of the objects.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for found in result.objects:
        if found.state is State.ENDED:
            continue
        alpha = _HIDDEN_ALPHA * found.existence if found.state.hidden else _SEEN_ALPHA
        colour = _colour(found.track_id, alpha)
        markers += [_box(found, header, colour), _label(found, header), _ellipse(found, header)]
        if float(np.linalg.norm(found.velocity)) > _LEAST_SPEED:
            markers.append(_arrow(found, header))
        markers += [_emergence(found, header, side) for side in range(len(found.emergences))]
    return MarkerArray(markers=markers)


def _marker(found: LocatedObject, header: Header, namespace: str, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(header=header, ns=namespace, id=_signed(found.track_id), type=kind, action=Marker.ADD, color=colour)
    marker.pose.position = point(found.position)
    marker.pose.orientation = _quaternion(found.orientation)
    return marker


def _box(found: LocatedObject, header: Header, colour: ColorRGBA) -> Marker:
    marker = _marker(found, header, "boxes", Marker.CUBE, colour)
    marker.scale = vector(found.size)
    return marker


def _label(found: LocatedObject, header: Header) -> Marker:
    marker = _marker(found, header, "ids", Marker.TEXT_VIEW_FACING, ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0))
    up = Rotation.from_quat(found.orientation).as_matrix()[:, 2]
    marker.pose.position = point(found.position + up * (float(found.size[2]) / 2 + 0.2))
    marker.scale.z = 0.25
    hidden = f", hidden {found.hidden_s:.1f} s, {found.existence:.0%}" if found.state.hidden else ""
    marker.text = f"{found.class_name} {found.track_id}{hidden}"
    return marker


def _ellipse(found: LocatedObject, header: Header) -> Marker:
    """Make the ellipse of the position's covariance, on the plane across the box's z axis, at its foot."""
    marker = _marker(found, header, "covariances", Marker.CYLINDER, ColorRGBA(r=1.0, g=0.8, b=0.1, a=0.25))
    axes = Rotation.from_quat(found.orientation).as_matrix()
    values, vectors = np.linalg.eigh(axes[:, :2].T @ found.covariance[:3, :3] @ axes[:, :2])
    # The ellipse's axes, and the box's z axis as a third that makes them right-handed.
    first = axes[:, :2] @ vectors[:, 0]
    turned = np.stack([first, np.cross(axes[:, 2], first), axes[:, 2]], axis=1)
    marker.pose.orientation = _quaternion(Rotation.from_matrix(turned).as_quat())
    marker.pose.position = point(found.position - axes[:, 2] * (float(found.size[2]) / 2))
    long, wide = (2 * _SIGMA * math.sqrt(max(float(value), 1e-6)) for value in values)
    marker.scale = Vector3(x=long, y=wide, z=0.02)
    return marker


def _arrow(found: LocatedObject, header: Header) -> Marker:
    """Make the arrow of the velocity, as long as the way of one second."""
    marker = Marker(header=header, ns="velocities", id=_signed(found.track_id), type=Marker.ARROW, action=Marker.ADD)
    marker.points = [point(found.position), point(found.position + found.velocity)]
    marker.scale = Vector3(x=0.08, y=0.16, z=0.2)
    marker.color = ColorRGBA(r=0.1, g=0.6, b=1.0, a=0.4 if found.state.hidden else 1.0)
    return marker


def _emergence(found: LocatedObject, header: Header, side: int) -> Marker:
    marker = _marker(found, header, f"emergences_{side}", Marker.SPHERE, ColorRGBA(r=1.0, g=0.1, b=0.1, a=0.8))
    marker.pose.position = point(found.emergences[side].point)
    marker.scale = Vector3(x=0.2, y=0.2, z=0.2)
    return marker


def _quaternion(values: np.ndarray) -> Quaternion:
    x, y, z, w = (float(value) for value in values)
    return Quaternion(x=x, y=y, z=z, w=w)


def _signed(track_id: int) -> int:
    """An ID of 32 bits as a marker's, which has a sign."""
    return track_id if track_id < 2**31 else track_id - 2**32


def _colour(track_id: int, alpha: float) -> ColorRGBA:
    hue = track_id * _GOLDEN % 1.0 * 6
    x = 1 - abs(hue % 2 - 1)
    r, g, b = ((1, x, 0), (x, 1, 0), (0, 1, x), (0, x, 1), (x, 0, 1), (1, 0, x))[int(hue)]
    return ColorRGBA(r=float(r), g=float(g), b=float(b), a=float(alpha))
