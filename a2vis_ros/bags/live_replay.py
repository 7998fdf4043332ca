"""`live_replay`: plays a bag to a running node, and ends when the node has answered the last image.

ros2 run a2vis_ros live_replay --node a2vis -- ros2 bag play BAG --clock --wait-for-all-acked 0
"""

import argparse
import sys
import time
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.utilities import remove_ros_args

from a2vis_model.errors import printable

from ..programs.lifecycle_client import LifecycleClient, LifecycleError
from ..programs.processes import running
from ..programs.spinning import begin, end, told_to_stop
from ..wire.exact_text import MessageError, received

_POLL_S = 0.3
"""Seconds between two requests for the node's state."""
_PATIENCE_S = 10.0
"""Seconds of waiting after which a message says what is waited for."""


class LiveReplay(Node):
    """Follows the node's progress through its messages on /diagnostics.

    A player ends when the node's middleware has the last image, which may be long before the node has answered it.
    """

    def __init__(self, target: str, command: Sequence[str]) -> None:
        super().__init__("live_replay")
        self._target = target if target.startswith("/") else f"{self.get_namespace().rstrip('/')}/{target}"
        self._command = command
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._life = LifecycleClient(self, self._target, self._executor)
        self._statuses: list[dict[str, str]] = []
        self._subscription: Subscription | None = None

    def run(self) -> int:
        """Wait for the node, play, wait for its answers; return the exit status."""
        self._wait_until_active()
        print(f"live_replay: {' '.join(self._command)}", flush=True)
        with running(self._command) as player:
            while player.poll() is None:
                self._spin()
        if player.returncode:
            raise LifecycleError(f"the player has failed with status {player.returncode}; see its messages above")
        self._wait_until_at_rest()
        # Deactivation answers the frames that wait for their clip to fill.
        self._life.change("deactivate", 600.0)
        self._follow_reports()
        books = self._next_status()
        print(
            f"live_replay: {books['received']} images received = {books['processed']} processed + "
            f"{books['total_dropped_frames']} dropped + {books['in_flight']} in flight; {books['lost_in_transport']} "
            "lost in transport",
            flush=True,
        )
        if books["received"] == "0":
            raise LifecycleError(f"{self._target} has received no image; is it subscribed to a topic of the bag?")
        return 0

    def close(self) -> None:
        """Release all resources."""
        self.destroy_node()
        self._executor.shutdown()

    def _wait_until_active(self) -> None:
        said = time.monotonic()
        while (state := self._state()) != "active":
            if time.monotonic() - said > _PATIENCE_S:
                said = time.monotonic()
                print(printable(f"live_replay: waiting for {self._target}, which is {state}"), flush=True)
            # The answer comes at once; asking more often would only burden the node.
            asked = time.monotonic()
            while time.monotonic() - asked < _POLL_S:
                self._spin()

    def _state(self) -> str:
        try:
            return self._life.state(2.0)
        except LifecycleError:
            return "not there"

    def _wait_until_at_rest(self) -> None:
        """Wait until no image has come between two reports and none waits.

        Between two reports the node takes at least one image if its subscription holds one, because all its callbacks
        take turns in one thread.
        """
        said = time.monotonic()
        self._follow_reports()
        before = self._next_status()
        while True:
            status = self._next_status()
            if status["received"] == before["received"] and status["waiting"] == "0":
                return
            before = status
            if time.monotonic() - said > _PATIENCE_S:
                said = time.monotonic()
                waiting = f"{status['processed']} of {status['received']} images are processed"
                print(f"live_replay: the bag has ended, {waiting}", flush=True)

    def _follow_reports(self) -> None:
        """Subscribe to the reports anew, so that `_next_status` returns none that was made before this call.

        Of an older subscription, reports would wait here that were sent before the player's images, if this process
        was starved meanwhile: the node would seem to be at rest before it has begun.
        """
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
        self._subscription = self.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 100, raw=True)
        # The first report may have been made before it found this subscription.
        self._next_status()

    def _next_status(self) -> dict[str, str]:
        """Return the next report.

        Raises:
            LifecycleError: the node has stopped reporting.
        """
        self._statuses.clear()
        deadline = time.monotonic() + 60.0 + _PATIENCE_S
        while not self._statuses:
            if time.monotonic() > deadline:
                raise LifecycleError(f"{self._target} no longer reports on /diagnostics; has it ended?")
            self._spin()
        return self._statuses[-1]

    def _spin(self) -> None:
        if told_to_stop():
            raise KeyboardInterrupt
        self._executor.spin_once(timeout_sec=0.1)

    def _hear(self, content: bytes) -> None:
        try:
            array = received(content, DiagnosticArray)
        except MessageError:
            # Anybody may publish there; what cannot be read is none of the node's reports.
            return
        for status in array.status:
            # The values are printed, and may be anybody's.
            values = {pair.key: printable(pair.value, 200) for pair in status.values}
            if status.name == f"{self._target[1:]}: tracking" and "received" in values:
                self._statuses.append(values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="live_replay", description=(__doc__ or "").partition(": ")[2].partition("\n")[0]
    )
    parser.add_argument("--node", default="a2vis", help="name of the node, in this one's namespace (%(default)s)")
    parser.add_argument("command", nargs="+", help="command that plays the bag, after --")
    args = parser.parse_args(remove_ros_args(["live_replay", *given])[1:])
    replay = begin("live_replay", lambda: LiveReplay(args.node, args.command), given, "see docs/ros.md")
    if replay is None:
        return 2
    try:
        return replay.run()
    except (LifecycleError, OSError) as error:
        print(f"live_replay: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        replay.close()
        end()


if __name__ == "__main__":
    sys.exit(main())
