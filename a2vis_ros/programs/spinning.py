"""Begin, spinning and end of a program with a node.

Signals are handled here, not by rclpy (7.1.6), whose signal thread ends ROS first: the node's last log messages and
results would then be lost, with an error about each. The handlers raise no exception either: an exception inside rclpy
leaves objects half constructed, and each prints a traceback.
"""

import gc
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions, uninstall_signal_handlers

_POLL_S = 0.1
"""Longest time in seconds until a signal is noticed; it does not wake a thread that waits for messages."""

NodeT = TypeVar("NodeT", bound=Node)


class _Told:
    """Whether the program was told to stop."""

    to_stop = False


def begin(program: str, make: Callable[[], NodeT], arguments: Sequence[str] | None, remedy: str) -> NodeT | None:
    """Initialise ROS and make the node. From here on `told_to_stop` reports SIGINT and SIGTERM.

    Args:
        program: name of the program.
        make: makes the node; raises ParameterException or ValueError for a parameter that cannot be used.
        arguments: arguments including those of ROS; None for the program's.
        remedy: where valid parameters are described.

    Returns:
        The node, or None where arguments or parameters cannot be used, which is reported on stderr.
    """
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        try:
            rclpy.init(
                args=None if arguments is None else list(arguments), signal_handler_options=SignalHandlerOptions.NO
            )
        except RuntimeError as error:
            # rcl's errors have no closer base class: a missing or broken parameter file, an unknown argument.
            raise ValueError(f"the arguments of ROS cannot be used: {error}") from error
        return make()
    except (ParameterException, ValueError) as error:
        problem = str(error)
    # The error refers to a half constructed node. It is released before ROS ends, because its parts would print errors,
    # and ours should be the last line on the screen.
    gc.collect()
    end()
    print(f"{program}: {problem}; {remedy}", file=sys.stderr)
    return None


def spin(node: Node, close: Callable[[], object]) -> None:
    """Serve a node until the program is told to stop, then close it and end ROS."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok() and not told_to_stop():
            executor.spin_once(_POLL_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        close()
        executor.shutdown()
        end()


def told_to_stop() -> bool:
    """Return whether a signal has come; every other loop that spins or waits must check it."""
    return _Told.to_stop


def end() -> None:
    """End ROS. If rclpy has signal handlers, all executors must still be referenced."""
    # This joins rclpy's signal thread, which at a signal visits the executors' guard conditions without a lock.
    # Freeing one of them before crashes.
    uninstall_signal_handlers()
    rclpy.try_shutdown()


def _stop(number: int, frame: FrameType | None) -> None:
    """Note the signal. During an orderly end another Ctrl-C changes nothing, another SIGTERM ends at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _Told.to_stop = True
