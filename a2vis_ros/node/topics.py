"""Names of topics that belong to others or to one of several cameras, and of statuses in /diagnostics."""

from rclpy.node import Node

from ..stream.cameras import Camera


def status_name(node: Node, camera: Camera) -> str:
    """Return under which name /diagnostics tell of a camera of this node, such as "left/a2vis: tracking"."""
    parts = (node.get_namespace().strip("/"), camera.name, node.get_name())
    return f"{'/'.join(filter(None, parts))}: tracking"


def transport_topic(node: Node, base: str, transport: str) -> str:
    """Where a transport of image_transport publishes: remapped itself, or with the topic that it belongs to.

    Args:
        node: whose remappings count.
        base: such as image.
        transport: such as compressed.
    """
    own = str(node.resolve_topic_name(f"{base}/{transport}"))
    if own != node.resolve_topic_name(f"{base}/{transport}", only_expand=True):
        return own
    return f"{node.resolve_topic_name(base)}/{transport}"
