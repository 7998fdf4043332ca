"""Worker thread that owns the model: takes the cameras' frames in turns and passes results on."""

import threading
import traceback
from collections.abc import Callable
from functools import partial

from .frame_queue import FrameQueue
from .frames import Frame
from .image_decoding import ImageError
from .pipeline import FramePipeline, ProcessedFrame
from .turns import Turns


class Lane:
    """The way of one camera's frames through a worker, from its queue to its results.

    What fails in one lane is reported there, and neither ends the lane nor touches another.

    Args:
        queue: source of the frames, made with the condition of the worker's turns.
        pipeline: the camera's pipeline, used only by the worker's thread while the lane is open.
        publish: called in the worker's thread with every processed frame.
        report: called in the worker's thread with a text on each error.
    """

    def __init__(
        self,
        queue: FrameQueue,
        pipeline: FramePipeline,
        publish: Callable[[ProcessedFrame], None],
        report: Callable[[str], None],
    ) -> None:
        self.queue = queue
        self.finished = threading.Event()
        """Set when the worker has done with the lane."""
        self._pipeline = pipeline
        self._publish = publish
        self._report = report
        self._requests: list[Callable[[FramePipeline], None]] = []
        self._lock = threading.Lock()

    def request(self, action: Callable[[FramePipeline], None]) -> None:
        """Let the worker's thread run an action on the pipeline between two frames."""
        with self._lock:
            self._requests.append(action)
        self.queue.nudge()

    def serve(self) -> None:
        """Run the requested actions; in the worker's thread, like all that follows."""
        with self._lock:
            requests, self._requests = self._requests, []
        for action in requests:
            self._attempt(partial(action, self._pipeline))

    def work(self, frame: Frame) -> None:
        """Run a frame through the pipeline."""
        # Each step has its own error handling: a failure of one loses neither the other's results nor its frame.
        self._attempt(lambda: self._hand_on(self._pipeline.enter(frame)))
        self._attempt(lambda: self._hand_on(self._pipeline.process(frame)))

    def finish(self) -> None:
        """Decide the open clip."""
        self.serve()
        self._attempt(lambda: self._hand_on(self._pipeline.flush()))

    def _hand_on(self, frames: list[ProcessedFrame]) -> None:
        for processed in frames:
            self._publish(processed)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Run an action; a bad image, or a failure of the model, is reported and does not end the stream."""
        try:
            action()
        except ImageError as error:
            self._report(f"image dropped: {error}")
        except Exception:
            self._report(f"a frame failed\n{traceback.format_exc()}")


class Worker:
    """The one thread that runs a model, for all cameras that share it, frame by frame.

    The thread lives while a lane is open. Lanes are opened and closed by one thread, that of the node's callbacks.
    """

    def __init__(self) -> None:
        self.turns = Turns()
        self._lanes: dict[FrameQueue, Lane] = {}
        self._thread: threading.Thread | None = None

    def open(self, lane: Lane) -> None:
        """Serve a lane from now on."""
        with self.turns.changed:
            self._lanes[lane.queue] = lane
            self.turns.add(lane.queue)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="a2vis worker")
            self._thread.start()

    def close(self, lane: Lane) -> None:
        """Finish the current frame and the lane's open clip; its waiting frames are dropped."""
        lane.queue.close()
        lane.finished.wait()
        if not self._lanes and self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._lanes:
                self._step()
        finally:
            # Nobody may wait for a thread that has ended, however that came about.
            for lane in tuple(self._lanes.values()):
                self._leave(lane)

    def _step(self) -> None:
        taken = self.turns.take()
        lanes = tuple(self._lanes.values())
        # Requests are served after the frame is taken, so that a request made before the frame came is done before it.
        for lane in lanes:
            lane.serve()
        if taken is not None:
            queue, frame = taken
            self._lanes[queue].work(frame)
        for lane in lanes:
            if lane.queue.closed:
                lane.finish()
                self._leave(lane)

    def _leave(self, lane: Lane) -> None:
        with self.turns.changed:
            self.turns.remove(lane.queue)
            del self._lanes[lane.queue]
        lane.finished.set()
