"""Names of topics that belong to others."""

from rclpy.node import Node


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
