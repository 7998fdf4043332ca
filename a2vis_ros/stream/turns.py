"""Turns: whose frame is next where several cameras wait for one model."""

import threading

from .frame_queue import FrameQueue
from .frames import Frame


class Turns:
    """Takes the frames of several queues one by one, fair by age: the camera that was looked at longest ago is next.

    What counts is the age of what is known of a camera's scene, not that of the image that waits: under "latest" the
    images of a fast camera never grow old, and two slower ones could keep the model for themselves. By this rule a
    camera with an image waits for one image of each other camera at most, and one without images holds nobody up.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Condition of all queues that are added here."""
        self._turns = 0
        """Number of frames taken so far."""
        self._last: dict[FrameQueue, int] = {}
        """Number of the last turn of each queue; 0 before its first."""

    def add(self, queue: FrameQueue) -> None:
        """Add a queue that was made with the condition `changed`; nothing is known of its camera, so it is next."""
        with self.changed:
            self._last[queue] = 0

    def remove(self, queue: FrameQueue) -> None:
        """Remove a queue that was added."""
        with self.changed:
            del self._last[queue]

    def take(self, timeout_s: float | None = None) -> tuple[FrameQueue, Frame] | None:
        """Take the next frame, and say of which queue.

        Args:
            timeout_s: longest wait in seconds; None for as long as it takes.

        Returns:
            None when no frame comes in time or a queue without one is nudged, and at once while a closed queue is to
            be removed.
        """
        with self.changed:
            self.changed.wait_for(
                lambda: any(queue.closed or queue.nudged or len(queue) for queue in self._last), timeout_s
            )
            for queue in self._last:
                queue.nudged = False
            waiting = [queue for queue in self._last if len(queue)]
            if not waiting or any(queue.closed for queue in self._last):
                return None
            queue = min(waiting, key=lambda queue: (self._last[queue], queue.head.arrived))
            self._turns += 1
            self._last[queue] = self._turns
            return queue, queue.pop()
