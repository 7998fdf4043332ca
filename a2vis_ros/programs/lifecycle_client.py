"""Client for the transitions of a lifecycle node in another process."""

import time
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from .spinning import told_to_stop

_POLL_S = 0.05

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class LifecycleError(RuntimeError):
    """A node does not answer or refuses a transition."""


class LifecycleClient:
    """Requests transitions and waits for them.

    Args:
        node: any node of this process; `executor` spins it while something is waited for.
        target: full name of the lifecycle node.
        executor: executor that nobody else spins.
    """

    def __init__(self, node: Node, target: str, executor: SingleThreadedExecutor) -> None:
        self._target = target
        self._executor = executor
        self._change = node.create_client(ChangeState, f"{target}/change_state")
        self._get = node.create_client(GetState, f"{target}/get_state")

    def change(self, transition: str, timeout_s: float = 60.0) -> None:
        """Run a transition of `TRANSITIONS`.

        Raises:
            LifecycleError: it fails or takes too long.
        """
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        if not self._call(self._change, request, timeout_s).success:
            raise LifecycleError(f"{self._target} could not {transition}; its log says why")

    def state(self, timeout_s: float = 60.0) -> str:
        """Return the node's state, such as "active"."""
        return str(self._call(self._get, GetState.Request(), timeout_s).current_state.label)

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        if not self._spin_until(client.service_is_ready, timeout_s):
            raise LifecycleError(f"{self._target} did not appear within {timeout_s:.0f} s; is the node running?")
        future = client.call_async(request)
        if not self._spin_until(future.done, timeout_s):
            raise LifecycleError(f"{self._target} did not answer within {timeout_s:.0f} s")
        return future.result()

    def _spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if told_to_stop():
                raise KeyboardInterrupt
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(_POLL_S)
        return True
