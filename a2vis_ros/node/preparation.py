"""Preparation of the model, which may take minutes, while the node continues to answer.

rclpy calls a transition inside the executor, so nobody would serve parameters, get_state, /clock and diagnostics while
an engine is built. Here the model is made in a thread, and until it is ready the thread of the transition spins the
node by a second executor. The node still has one thread for all of its callbacks.
"""

import threading
import time
from concurrent.futures import Future

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from ..programs.reports import Level, Report
from ..programs.spinning import told_to_stop
from ..stream.models import LoadedModel, Loader
from ..stream.parameters import Settings
from .status_publisher import StatusPublisher
from .topics import status_name

_POLL_S = 0.05


class Preparation:
    """Preparation of one model.

    Args:
        node: node that is served meanwhile. The caller's callback is in a reentrant group, the node's others are not.
        settings: settings of the model.
        load: function that makes the model.
    """

    def __init__(self, node: Node, settings: Settings, load: Loader) -> None:
        self._node = node
        self._settings = settings
        self._load = load
        self._doing = "starting"
        self._since = time.monotonic()
        self._made: Future[LoadedModel] = Future()

    @property
    def done(self) -> bool:
        """Whether the thread has ended, with a model or an error."""
        return self._made.done()

    def run(self) -> LoadedModel:
        """Return the model once it is ready.

        Raises:
            A2VISError: it cannot be made.
            KeyboardInterrupt: the program is told to stop. The thread then still runs, because nothing can stop it.
        """
        # Under the names of later, for a monitor of diagnostics takes one that is heard of no more for stale.
        statuses = [
            StatusPublisher(
                self._node, status_name(self._node, camera), "", self._settings["diagnostics_period_s"], self._report
            )
            for camera in self._settings.cameras
        ]
        # A daemon thread, so that the program can end while it builds.
        threading.Thread(target=self._make, name="a2vis preparation", daemon=True).start()
        usual, own = self._node.executor, SingleThreadedExecutor(context=self._node.context)
        self._node.executor = own
        try:
            while not self.done:
                if told_to_stop():
                    raise KeyboardInterrupt
                own.spin_once(_POLL_S)
        finally:
            own.remove_node(self._node)
            own.shutdown()
            self._node.executor = usual
            for status in statuses:
                status.close()
        return self._made.result()

    def _make(self) -> None:
        try:
            self._made.set_result(self._load(self._settings.model, self._progress))
        except BaseException as error:
            self._made.set_exception(error)

    def _progress(self, text: str) -> None:
        """Note what is being done; called in the thread that makes the model."""
        self._doing = text
        self._node.get_logger().info(text)

    def _report(self) -> Report:
        seconds = time.monotonic() - self._since
        values = (
            ("state", "configuring"),
            ("backend", f"asked for {self._settings['backend']}, {self._settings['precision']}"),
            ("preparing", self._doing),
            ("preparing_s", f"{seconds:.0f}"),
        )
        return Report(Level.WARN, f"being configured for {seconds:.0f} s: {self._doing}", values)
