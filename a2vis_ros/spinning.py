"""How a program with a node begins, spins and ends, with what rclpy (7.1.6) needs to survive a signal."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import uninstall_signal_handlers

_POLL_S = 0.5

NodeT = TypeVar("NodeT", bound=Node)


def begin(program: str, make: Callable[[], NodeT], arguments: Sequence[str] | None, remedy: str) -> NodeT | None:
    """Initialise ROS and make the node.

    Args:
        program: its name.
        make: raises ParameterException or ValueError for a parameter that cannot be used.
        arguments: those of ROS among them; None for the program's.
        remedy: where right parameters are described.

    Returns:
        None where arguments or parameters cannot be used, which is said on stderr then.
    """
    try:
        try:
            rclpy.init(args=None if arguments is None else list(arguments))
        except RuntimeError as error:
            # rcl's errors have no closer base: a file of parameters that is missing or broken, an unknown argument.
            raise ValueError(f"the arguments of ROS cannot be used: {error}") from error
        return make()
    except (ParameterException, ValueError) as error:
        print(f"{program}: {error}; {remedy}", file=sys.stderr)
        end()
        return None


def spin(node: Node, close: Callable[[], object]) -> None:
    """Serve a node until the program is told to stop, then close it and end ROS."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        # At SIGTERM rclpy wakes the executor before the context is shut down; who waits again by then must not wait
        # for ever.
        while rclpy.ok():
            executor.spin_once(_POLL_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        close()
        end()


def end() -> None:
    """End ROS. All executors must still be referenced by then."""
    # Joins rclpy's thread of signals, which at a signal goes through the executors' guard conditions without a lock.
    # Freeing one before it is done crashes.
    uninstall_signal_handlers()
    rclpy.try_shutdown()
