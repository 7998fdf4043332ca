"""Worker thread that owns the model: takes frames from the queue and passes results on."""

import threading
import traceback
from collections.abc import Callable
from functools import partial

from .frame_queue import FrameQueue
from .frames import Frame
from .image_decoding import ImageError
from .pipeline import FramePipeline, ProcessedFrame

POLL_S = 0.1


class Worker:
    """Runs a pipeline over a queue until it is stopped.

    Args:
        queue: source of the frames.
        pipeline: the pipeline, used only by this thread while it runs.
        publish: called in this thread with every processed frame.
        report: called in this thread with a text on each error; the worker continues.
    """

    def __init__(
        self,
        queue: FrameQueue,
        pipeline: FramePipeline,
        publish: Callable[[ProcessedFrame], None],
        report: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._pipeline = pipeline
        self._publish = publish
        self._report = report
        self._requests: list[Callable[[FramePipeline], None]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="a2vis worker")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request(self, action: Callable[[FramePipeline], None]) -> None:
        """Let the thread run an action on the pipeline between two frames."""
        with self._lock:
            self._requests.append(action)

    def stop(self) -> None:
        """Finish the current frame and the open clip, and end the thread; waiting frames are dropped."""
        self._stopping.set()
        self._queue.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            frame = self._queue.take(POLL_S)
            # Requests are served after the frame is taken, so that a request made before the frame came is done before
            # it.
            self._attempt(self._serve)
            if frame is not None:
                # Each step has its own error handling: a failure of one loses neither the other's results nor its
                # frame.
                self._attempt(partial(self._enter, frame))
                self._attempt(partial(self._work, frame))
        self._attempt(self._serve)
        self._attempt(lambda: self._hand_on(self._pipeline.flush()))

    def _serve(self) -> None:
        with self._lock:
            requests, self._requests = self._requests, []
        for action in requests:
            action(self._pipeline)

    def _enter(self, frame: Frame) -> None:
        self._hand_on(self._pipeline.enter(frame))

    def _work(self, frame: Frame) -> None:
        self._hand_on(self._pipeline.process(frame))

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
