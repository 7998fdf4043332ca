"""How a program with a node begins, spins and ends.

Signals are ours here, not rclpy's (7.1.6), whose thread of signals ends ROS first: what the node still has to say and
to publish would then be lost, with a complaint about each log message. They raise nothing, either: an exception out of
the midst of rclpy leaves objects half made, and each says so in a traceback.
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
"""A signal is heeded within this time: it does not wake who waits for messages. In seconds."""

NodeT = TypeVar("NodeT", bound=Node)


class _Told:
    """Whether the program was told to stop."""

    to_stop = False


def begin(program: str, make: Callable[[], NodeT], arguments: Sequence[str] | None, remedy: str) -> NodeT | None:
    """Initialise ROS and make the node. From here on SIGINT and SIGTERM are told by `told_to_stop`.

    Args:
        program: its name.
        make: raises ParameterException or ValueError for a parameter that cannot be used.
        arguments: those of ROS among them; None for the program's.
        remedy: where right parameters are described.

    Returns:
        None where arguments or parameters cannot be used, which is said on stderr then.
    """
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        try:
            rclpy.init(
                args=None if arguments is None else list(arguments), signal_handler_options=SignalHandlerOptions.NO
            )
        except RuntimeError as error:
            # rcl's errors have no closer base: a file of parameters that is missing or broken, an unknown argument.
            raise ValueError(f"the arguments of ROS cannot be used: {error}") from error
        return make()
    except (ParameterException, ValueError) as error:
        problem = str(error)
    # The error holds a node that is half made. It is let go of before ROS ends: what it consists of would complain, and
    # the last line on the screen is to be ours.
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
    """Whether a signal has come. Whoever spins or waits in a loop of his own asks it."""
    return _Told.to_stop


def end() -> None:
    """End ROS. Where rclpy has handlers of signals, all executors must still be referenced by then."""
    # Joins rclpy's thread of signals, which at a signal goes through the executors' guard conditions without a lock.
    # Freeing one before it is done crashes.
    uninstall_signal_handlers()
    rclpy.try_shutdown()


def _stop(number: int, frame: FrameType | None) -> None:
    """The end is in order: Ctrl-C again changes nothing, SIGTERM again is at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _Told.to_stop = True
