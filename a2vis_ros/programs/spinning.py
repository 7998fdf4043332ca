"""Begin, spinning and end of a program with a node.

Signals are handled here, not by rclpy (7.1.6), whose signal thread ends ROS first: the node's last log messages and
results would then be lost, with an error about each. The handlers raise no exception either: an exception inside rclpy
leaves objects half constructed, and each prints a traceback.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions, uninstall_signal_handlers

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
        with _woken_by_signals(executor):
            while rclpy.ok() and not told_to_stop():
                executor.spin_once()
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


@contextmanager
def _woken_by_signals(executor: Executor) -> Iterator[None]:
    """Have a signal end the executor's wait for messages; used by the main thread.

    A signal does not end that wait by itself, and Python runs no handler before it ends. To look every now and then
    takes more of a core than all else that a node without messages does.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_wake_at_each_byte, args=(executor, reading), name="signals", daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writing)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        thread.join()
        os.close(reading)


def _wake_at_each_byte(executor: Executor, reading: int) -> None:
    """Give the executor a task for each byte until the other end is closed. To wake it alone would have it wait on."""
    while os.read(reading, 1):
        executor.create_task(_nothing)


def _nothing() -> None:
    pass


def _stop(number: int, frame: FrameType | None) -> None:
    """Note the signal. During an orderly end another Ctrl-C changes nothing, another SIGTERM ends at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _Told.to_stop = True
