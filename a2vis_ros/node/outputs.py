"""Outputs that a node publishes for every frame. A new output is one class here and its place in `OUTPUTS`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from ..msg import TrackedInstanceArray
from ..stream import pictures
from ..stream.cameras import Camera
from ..stream.parameters import Settings
from ..stream.pipeline import ProcessedFrame
from ..wire.exact_text import publish
from . import messages
from .detections import DetectionMaker
from .qos import overridden, picture_qos, result_qos


class Output(ABC):
    """Interface of one output: its topic, its message, and when it may be left out."""

    topic: ClassVar[str]
    """Name of the topic, such as ~/tracks."""
    message_type: Any
    """Type of the messages."""
    qos: ClassVar[QoSProfile]
    """Default quality of service, which the user may override."""
    lazy: ClassVar[bool] = True
    """Whether it is made only while it has a subscriber.

    At the end the node waits until other outputs are acknowledged.
    """
    expendable: ClassVar[bool] = False
    """Whether it is given up while results are too old."""

    @staticmethod
    def available() -> bool:
        """Return whether the packages it needs are installed; otherwise there is no such topic."""
        return True

    @abstractmethod
    def make(self, processed: ProcessedFrame, tracks: TrackedInstanceArray, settings: Settings) -> Any:
        """Make the message of a frame.

        Args:
            processed: the frame and its result.
            tracks: the message on ~/tracks.
            settings: the node's present parameters.
        """


class TracksOutput(Output):
    """Every tracked instance, including hidden ones."""

    topic = "~/tracks"
    message_type = TrackedInstanceArray
    qos = result_qos()
    lazy = False

    def make(self, processed: ProcessedFrame, tracks: TrackedInstanceArray, settings: Settings) -> TrackedInstanceArray:
        """Return the message of the tracks."""
        return tracks


class DetectionsOutput(Output):
    """The confirmed tracks as vision_msgs/Detection2DArray."""

    topic = "~/detections"
    qos = result_qos()

    def __init__(self) -> None:
        self._maker = DetectionMaker()
        self.message_type = self._maker.message_type

    @staticmethod
    def available() -> bool:
        """Return whether vision_msgs is installed."""
        return DetectionMaker.available()

    def make(self, processed: ProcessedFrame, tracks: TrackedInstanceArray, settings: Settings) -> Any:
        """Make boxes of the mask that `detection_box` names."""
        return self._maker.make(tracks, settings["detection_box"])


class OverlayOutput(Output):
    """The image with its tracks drawn in, rgb8."""

    topic = "~/overlay"
    message_type = Image
    qos = picture_qos()
    expendable = True

    def make(self, processed: ProcessedFrame, tracks: TrackedInstanceArray, settings: Settings) -> Image:
        """Draw a picture no wider than `overlay_max_width`."""
        drawn = pictures.overlay(processed.image, processed.result, settings["overlay_max_width"])
        return messages.image_message(drawn, tracks.header, "rgb8")


class VisibleIdsOutput(Output):
    """The track ID at every pixel where a track is visible, mono16."""

    topic = "~/visible_ids"
    message_type = Image
    qos = picture_qos()
    expendable = True

    def make(self, processed: ProcessedFrame, tracks: TrackedInstanceArray, settings: Settings) -> Image:
        """Draw a picture of the image's size."""
        return messages.image_message(pictures.visible_ids(processed.result), tracks.header, "mono16")


OUTPUTS: tuple[type[Output], ...] = (TracksOutput, DetectionsOutput, OverlayOutput, VisibleIdsOutput)
"""All outputs of a frame, in the order of publication."""


class Publications:
    """Publishers of the outputs.

    Args:
        node: node that owns the topics.
        camera: camera whose outputs these are.
        kinds: the outputs; those that are not available are left out.
        on_incompatible: called with a topic and an event where a subscriber requests more than is offered.

    Raises:
        ParameterError: an override of a quality of service has an invalid value; no topic is made then.
    """

    def __init__(
        self,
        node: LifecycleNode,
        camera: Camera,
        kinds: Sequence[type[Output]],
        on_incompatible: Callable[[str, Any], None],
    ) -> None:
        self._node = node
        outputs = [kind() for kind in kinds if kind.available()]
        places = [camera.place(node.get_name(), output.topic) for output in outputs]
        topics = [node.resolve_topic_name(place) for place in places]
        # All profiles are made before the first topic, because a value among them may be invalid.
        profiles = [
            overridden(node, "publisher", topic, output.qos) for topic, output in zip(topics, outputs, strict=True)
        ]
        self._published: list[tuple[Output, LifecyclePublisher]] = []
        for output, place, topic, profile in zip(outputs, places, topics, profiles, strict=True):
            callbacks = PublisherEventCallbacks(incompatible_qos=partial(on_incompatible, topic))
            publisher = node.create_lifecycle_publisher(output.message_type, place, profile, event_callbacks=callbacks)
            self._published.append((output, publisher))

    def publish(
        self, processed: ProcessedFrame, tracks: TrackedInstanceArray, settings: Settings, *, expendable: bool
    ) -> None:
        """Publish a frame's outputs: those that may be given up, or the others."""
        for output, publisher in self._published:
            if output.expendable == expendable and (not output.lazy or publisher.get_subscription_count()):
                publish(publisher, output.make(processed, tracks, settings))

    def subscribers(self) -> int:
        """Return how many subscriptions the node has found to the outputs that are not lazy: they get what comes next.

        A subscriber may know of the node before the node knows of it, and gets nothing until then.
        """
        return sum(publisher.get_subscription_count() for output, publisher in self._published if not output.lazy)

    def wait_until_taken(self, longest_s: float) -> None:
        """Wait until subscribers have acknowledged the outputs that are not lazy, for at most `longest_s` seconds."""
        for output, publisher in self._published:
            if not output.lazy:
                publisher.wait_for_all_acked(Duration(seconds=longest_s))

    def close(self) -> None:
        """Remove all topics."""
        for _, publisher in reversed(self._published):
            self._node.destroy_lifecycle_publisher(publisher)
        self._published.clear()
