"""Names of topics that belong to others or to one of several cameras, and of statuses in /diagnostics."""

from rclpy.node import Node

from ..stream.cameras import Camera


def status_name(node: Node, camera: Camera) -> str:
    """Return the name of the status in /diagnostics of a camera of this node, such as "left/a2vis: tracking"."""
    parts = (node.get_namespace().strip("/"), camera.name, node.get_name())
    return f"{'/'.join(filter(None, parts))}: tracking"


def transport_topic(node: Node, base: str, transport: str) -> str:
    """Name the topic of a transport of image_transport, remapped itself or with the topic that it belongs to.

    Args:
        node: node whose remappings count.
        base: name of the topic, such as image.
        transport: name of the transport, such as compressed.
    """
    own = str(node.resolve_topic_name(f"{base}/{transport}"))
    if own != node.resolve_topic_name(f"{base}/{transport}", only_expand=True):
        return own
    return f"{node.resolve_topic_name(base)}/{transport}"
