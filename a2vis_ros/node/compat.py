"""All private interfaces of rclpy that this package uses; no other module touches them.

They were read in rclpy 7.1.5 and 7.1.6 (Jazzy) and 9.1.2 (Kilted).
"""

from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin
from rclpy.node import Node

RCLError = rclpy_implementation.RCLError
"""Error that rclpy raises where, among other things, a transition is not allowed in the node's state."""


class ServingLifecycleNode(LifecycleNode):
    """A lifecycle node that answers services while a transition runs, and survives a transition that is not allowed.

    rclpy's own node puts the services of its transitions into a group that excludes all others, and Jazzy's lets the
    error of a transition that the state does not allow end the program.

    Args:
        name: name of the node.
        node_arguments: keyword arguments of `rclpy.node.Node`.
    """

    def __init__(self, name: str, **node_arguments: Any) -> None:
        # This replaces LifecycleNode's own __init__, which has no argument for the callback group.
        Node.__init__(self, name, **node_arguments)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._try_transition = self._service_change_state.callback
        self._service_change_state.callback = self._serve_transition

    def given_parameters(self) -> set[str]:
        """Return the names of all parameters given to the node at its start, declared or not."""
        return set(self._parameter_overrides)

    def _serve_transition(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        """Try a transition, and refuse one that the state does not allow."""
        try:
            return self._try_transition(request, response)
        except RCLError as error:
            self.get_logger().warning(f"transition {request.transition.id} is refused in this state: {error}")
            response.success = False
            return response
