"""The stream of a configured localizer: its subscriptions, waiting frames, core and publishers.

Configure makes it, it runs between activate and deactivate, and cleanup closes it.
"""

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ..msg import ClassNames, TrackedInstanceArray, TrackedObjectArray
from ..planner.mask_codec import MaskError
from ..programs.reports import Report
from ..space.books import Books, Drop, Lack, LocalizerStatus, report
from ..space.camera import CameraError, CameraModel
from ..space.depth_image import DepthError, compressed_depth, raw_depth
from ..space.depth_matcher import DepthMatcher
from ..space.depth_surface import DepthMetres
from ..space.footprints import FootprintSettings
from ..space.ground import GroundError
from ..space.localizer import FrameError, Localized, Localizer, LocalizerSettings, TrackFrame
from ..space.transforms import TransformError, TransformSource, TransformTooNewError
from ..stream.image_decoding import EncodedImage, ImageError
from ..stream.image_message import ImageMessage, read_image
from ..wire.exact_text import MessageError, publish, received
from . import qos
from .object_markers import object_markers
from .object_outputs import AnnotationOutput, FrameOutput, VisionOutputs, class_mask, footprint_cloud, installed
from .space_messages import ObjectMessages, track_frame
from .status_publisher import StatusPublisher
from .topics import transport_topic

_LOG_PERIOD_S = 2.0
"""Shortest interval in seconds at which a repeated warning is logged; its causes are counted every time."""
_RETRY_S = 0.02
"""Seconds between attempts on frames that wait for a transform."""
_PLAUSIBLE_AGE_S = 3600.0
"""Age in seconds, or lead, beyond which tracks were stamped by another clock."""
_OPTIONAL = (
    ("~/detections_3d", "vision_msgs"),
    ("~/class_mask", "vision_msgs"),
    ("~/label_info", "vision_msgs"),
    ("~/image_annotations", "foxglove_msgs"),
)
"""Topics that are published only where a package is installed."""


@dataclass
class _Waiting:
    """A frame that waits for its depth image or its transforms."""

    tracks: TrackedInstanceArray
    frame: TrackFrame
    arrived: float
    """Time of arrival by the monotonic clock, in seconds."""
    depth: DepthMetres | None = None
    depth_settled: bool = False
    """Whether the depth image is decoded, or it is known that there will be none."""
    decoding_s: float = 0.0
    """Seconds that the depth image's decoding took."""


class LocalizerStream:
    """Takes tracks, publishes objects.

    Args:
        node: node that owns the topics.
        values: values of the parameters, checked.
        settings: settings of the localizer.
        transforms: source that knows where the camera is; None where there is none.
    """

    def __init__(
        self,
        node: LifecycleNode,
        values: Mapping[str, Any],
        settings: LocalizerSettings,
        transforms: TransformSource | None,
    ) -> None:
        self._node, self._values, self._settings = node, values, settings
        self._log = node.get_logger()
        self._localizer = Localizer(settings, transforms)
        self._messages = ObjectMessages()
        self._books = Books()
        self._state = "inactive"
        self._active_since = 0.0
        self._camera: CameraModel | None = None
        self._camera_problem = ""
        self._matcher: DepthMatcher[ImageMessage] | None = None
        if values["depth"] != "none":
            self._matcher = DepthMatcher(values["depth_tolerance_s"], values["queue_size"])
        self._waiting: deque[_Waiting] = deque()
        self._subscriptions: list[Any] = []
        self._footprints = FootprintSettings(
            existence=values["footprint_existence"],
            sigma=values["footprint_sigma"],
            max_growth=values["footprint_max_growth_m"],
            step=values["footprint_step_m"],
        )
        self._tracks_topic = node.resolve_topic_name("a2vis/tracks")
        self._depth_topic = self._name_depth()
        self._vision = VisionOutputs() if installed("vision_msgs") else None
        self._annotation = AnnotationOutput() if installed("foxglove_msgs") else None
        self._publishers: dict[str, LifecyclePublisher] = {}
        self._make_publishers()
        self._retry = node.create_timer(_RETRY_S, self._work, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._retry.cancel()
        name = f"{node.get_fully_qualified_name()[1:]}: localization"
        self._status = StatusPublisher(
            node, name, self._tracks_topic, values["diagnostics_period_s"], self._report_status
        )

    def start(self) -> None:
        """Subscribe. What was known before is forgotten: nothing was seen meanwhile."""
        self._localizer.reset()
        self._active_since = time.monotonic()
        self._subscribe(TrackedInstanceArray, self._tracks_topic, self._take_tracks, qos.result_qos())
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        camera_info = self._node.resolve_topic_name("camera_info")
        # One that is lost is made up for by the next.
        self._subscribe(CameraInfo, camera_info, self._take_camera, sensor, heed_losses=False)
        if self._matcher is not None:
            kind = Image if self._values["depth"] == "raw" else CompressedImage
            self._subscribe(kind, self._depth_topic, self._take_depth, sensor)
        if self._vision is not None:
            topic = self._node.resolve_topic_name("a2vis/class_names")
            self._subscribe(ClassNames, topic, self._take_names, qos.latched_qos())
        self._state = "active"

    def stop(self) -> None:
        """Unsubscribe, and drop what waits."""
        self._state = "inactive"
        self._retry.cancel()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        while self._waiting:
            self._waiting.popleft()
            self._books.drop(Drop.STOPPED, "the node was deactivated", time.monotonic())

    def close(self) -> None:
        """Remove all topics."""
        self.stop()
        self._status.close()
        self._node.destroy_timer(self._retry)
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def _name_depth(self) -> str:
        if self._values["depth"] == "compressed":
            return transport_topic(self._node, "depth", "compressedDepth")
        return str(self._node.resolve_topic_name("depth"))

    def _make_publishers(self) -> None:
        """Make all publishers; their QoS is read before the first is made, because a value may be wrong."""
        picture, result = qos.picture_qos(), qos.result_qos()
        topics: dict[str, tuple[Any, QoSProfile]] = {
            "~/objects": (TrackedObjectArray, result),
            "~/markers": (MarkerArray, picture),
            "~/hidden_footprints": (PointCloud2, picture),
        }
        if self._vision is not None:
            topics["~/detections_3d"] = (self._vision.detections_type, result)
            topics["~/class_mask"] = (Image, picture)
            topics["~/label_info"] = (self._vision.label_info_type, qos.latched_qos())
        if self._annotation is not None:
            topics["~/image_annotations"] = (self._annotation.message_type, picture)
        resolved = {topic: self._node.resolve_topic_name(topic) for topic in topics}
        profiles = {
            topic: qos.overridden(self._node, "publisher", resolved[topic], default)
            for topic, (_, default) in topics.items()
        }
        for topic, (kind, _) in topics.items():
            events = PublisherEventCallbacks(incompatible_qos=partial(self._on_incompatible_reader, resolved[topic]))
            self._publishers[topic] = self._node.create_lifecycle_publisher(
                kind, topic, profiles[topic], event_callbacks=events
            )

    def _subscribe(
        self,
        kind: Any,
        topic: str,
        callback: Callable[[bytes], None],
        default: QoSProfile,
        *,
        heed_losses: bool = True,
    ) -> None:
        profile = qos.overridden(self._node, "subscription", topic, default)
        events = SubscriptionEventCallbacks(
            incompatible_qos=partial(self._on_incompatible_publisher, topic),
            message_lost=partial(self._on_lost, topic) if heed_losses else None,
        )
        self._subscriptions.append(
            self._node.create_subscription(kind, topic, callback, profile, event_callbacks=events, raw=True)
        )

    def _take_camera(self, content: bytes) -> None:
        try:
            message = received(content, CameraInfo)
            camera = CameraModel.from_camera_info(message, rectified=self._values["image_is_rectified"])
        except (MessageError, CameraError) as error:
            self._camera, self._camera_problem = None, str(error)
        else:
            self._camera_problem = ""
            # The one that is there has its rays worked out already.
            if camera != self._camera:
                self._camera = camera

    def _take_depth(self, content: bytes) -> None:
        if self._matcher is None:
            return
        try:
            message = read_image(content, compressed=self._values["depth"] == "compressed")
        except ImageError as error:
            self._lack(Lack.UNUSABLE, str(error))
            return
        self._matcher.add(message.stamp.nanoseconds, message, time.monotonic())
        self._work()

    def _take_names(self, content: bytes) -> None:
        if self._vision is None:
            return
        try:
            names = received(content, ClassNames)
        except MessageError as error:
            self._log.error(str(error))
            return
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._publishers["~/label_info"].publish(self._vision.label_info(names, header))

    def _take_tracks(self, content: bytes) -> None:
        now = time.monotonic()
        self._books.receive(now)
        try:
            message = received(content, TrackedInstanceArray)
            frame = track_frame(message)
        except (MessageError, MaskError) as error:
            self._drop(Drop.DAMAGED, f"the message was damaged: {error}")
            return
        if not frame.stamp_ns:
            # Velocity and existence go by time, and tf2 takes 0 for the newest transform.
            self._drop(
                Drop.UNSTAMPED,
                "header.stamp is 0, as it was in the image, and without a time nothing can be placed or predicted; let "
                "what publishes the images stamp them when they are taken",
            )
            return
        if len(self._waiting) >= self._values["queue_size"]:
            self._waiting.popleft()
            self._drop(Drop.FULL, f"more than queue_size={self._values['queue_size']} frames wait for their transforms")
        self._waiting.append(_Waiting(message, frame, now))
        self._work()

    def _work(self) -> None:
        """Take the frames whose depth and transforms are there, or that have waited long enough, in order."""
        while self._waiting:
            if not self._attempt(self._waiting[0]):
                self._retry.reset()
                return
            self._waiting.popleft()
        self._retry.cancel()

    def _attempt(self, waiting: _Waiting) -> bool:
        """Try to answer a frame; return whether it is done with, published or dropped."""
        now = time.monotonic()
        expired = now - waiting.arrived >= self._values["wait_s"]
        if not self._settle_depth(waiting, expired, now):
            return False
        if self._camera is None and not expired:
            return False
        start = time.monotonic()
        try:
            result = self._localize(waiting)
        except TransformError as error:
            if not expired:
                return False
            cause = Drop.TRANSFORM_LATE if isinstance(error, TransformTooNewError) else Drop.TRANSFORM
            self._drop(cause, f"{error} (waited for wait_s={self._values['wait_s']:g})")
        except CameraError as error:
            self._drop(Drop.CAMERA if self._camera_problem or self._camera else Drop.NO_CAMERA, str(error))
        except GroundError as error:
            self._drop(Drop.GROUND, str(error))
        except FrameError as error:
            self._drop(Drop.LATE, str(error))
        except Exception as error:
            self._log.error(f"a frame was dropped:\n{traceback.format_exc()}", throttle_duration_sec=_LOG_PERIOD_S)
            self._localizer.reset()
            self._drop(Drop.FAILED, f"{type(error).__name__}: {error!s:.200}")
        else:
            if result.ground_problem:
                self._lack(Lack.GROUND, result.ground_problem)
            self._publish(waiting, result, start)
        return True

    def _localize(self, waiting: _Waiting) -> Localized:
        camera, frame = self._camera, waiting.frame
        if camera is None:
            topic = self._node.resolve_topic_name("camera_info")
            raise CameraError(
                self._camera_problem
                or f"no camera_info has come on {topic}; remap camera_info to the topic beside the image"
            )
        if camera.frame_id and camera.frame_id != frame.frame_id:
            raise CameraError(
                f"camera_info is of the frame {camera.frame_id!r:.60}, and the tracks are of {frame.frame_id!r:.60}: "
                "it is another camera's; remap camera_info to the topic beside the image"
            )
        return self._localizer.update(frame, camera, waiting.depth)

    def _settle_depth(self, waiting: _Waiting, expired: bool, now: float) -> bool:
        """Find and decode the frame's depth image; return whether the frame need wait for it no longer."""
        if waiting.depth_settled or self._matcher is None:
            return True
        stamp = waiting.frame.stamp_ns
        if not expired and self._matcher.may_come(stamp, now):
            return False
        message = self._matcher.find(stamp)
        if message is None:
            self._lack_depth(stamp)
        else:
            start = time.monotonic()
            try:
                waiting.depth = self._decode(message, waiting.frame)
            except DepthError as error:
                self._lack(Lack.UNUSABLE, str(error))
            waiting.decoding_s = time.monotonic() - start
        waiting.depth_settled = True
        return True

    def _decode(self, message: ImageMessage, frame: TrackFrame) -> DepthMetres:
        if message.frame_id != frame.frame_id:
            raise DepthError(
                f"the depth image is of the frame {message.frame_id!r:.60}, and the tracks are of "
                f"{frame.frame_id!r:.60}: it is not registered to the image; subscribe to the depth that the driver "
                "aligns with it"
            )
        image, size = message.image, (frame.height, frame.width)
        if isinstance(image, EncodedImage):
            return compressed_depth(image.format, image.data, size)
        return raw_depth(image.height, image.width, image.encoding, image.is_bigendian, image.step, image.data, size)

    def _lack_depth(self, stamp: int) -> None:
        offset = None if self._matcher is None else self._matcher.offset_s(stamp)
        if offset is None:
            publishers = self._node.count_publishers(self._depth_topic)
            self._lack(Lack.NO_DEPTH, f"no depth image has come on {self._depth_topic} ({publishers} publishers)")
            return
        self._lack(
            Lack.STAMPS,
            f"the nearest depth image is {abs(offset):.3f} s {'later' if offset > 0 else 'earlier'} than the image, "
            f"depth_tolerance_s is {self._values['depth_tolerance_s']:g}; raise it, or let the driver synchronise both",
        )

    def _publish(self, waiting: _Waiting, result: Localized, start: float) -> None:
        message = self._messages.write(result, waiting.tracks)
        end = time.monotonic()
        # Decoded before the camera and transforms are waited for, the depth image is work all the same.
        message.wait_ms = (start - waiting.arrived - waiting.decoding_s) * 1e3
        message.localize_ms = (end - start + waiting.decoding_s) * 1e3
        age = self._age(waiting.frame.stamp_ns)
        message.age_ms = age * 1e3
        publish(self._publishers["~/objects"], message)
        self._books.publish(result, age, end)
        output = FrameOutput(waiting.tracks, message, result)
        self._offer("~/markers", lambda: object_markers(result, message.header))
        self._offer("~/hidden_footprints", lambda: footprint_cloud(output, self._footprints))
        if self._vision is not None:
            vision = self._vision
            self._offer("~/detections_3d", lambda: vision.detections(output))
            self._offer("~/class_mask", lambda: class_mask(waiting.tracks))
        if self._annotation is not None:
            annotation = self._annotation
            self._offer("~/image_annotations", lambda: annotation.annotations(output))

    def _offer(self, topic: str, make: Any) -> None:
        """Make and publish a message where the topic has a subscriber."""
        publisher = self._publishers[topic]
        if publisher.get_subscription_count():
            publish(publisher, make())

    def _age(self, stamp: int) -> float:
        """Return the seconds from the image's stamp until now; NaN where the stamp is not of this node's clock."""
        age = (self._node.get_clock().now().nanoseconds - stamp) * 1e-9
        return age if abs(age) <= _PLAUSIBLE_AGE_S else math.nan

    def _drop(self, cause: Drop, words: str) -> None:
        self._books.drop(cause, words, time.monotonic())
        self._log.warning(f"{cause.value}: {words}", throttle_duration_sec=_LOG_PERIOD_S)

    def _lack(self, cause: Lack, words: str) -> None:
        self._books.lack(cause, words, time.monotonic())
        self._log.warning(f"{cause.value}: {words}", throttle_duration_sec=_LOG_PERIOD_S)

    def _report_status(self) -> Report:
        """Report the present status."""
        values, settings = self._values, self._settings
        silence = self._silence(time.monotonic())
        if silence:
            self._log.warning(silence, throttle_duration_sec=30.0)
        ground = settings.ground_frame
        mounting = settings.mounting
        status = LocalizerStatus(
            state=self._state,
            fixed_frame=settings.fixed_frame or "the camera's",
            ground=f"camera_height_m={mounting.height:g}" if mounting else (f"z = 0 of {ground}" if ground else "none"),
            depth=f"{values['depth']} on {self._depth_topic}" if self._matcher is not None else "none",
            waiting=len(self._waiting),
            silence=silence,
            age_warn_s=values["age_warn_s"],
            topics=[
                (topic, "published" if topic in self._publishers else f"not published: {package} is not installed")
                for topic, package in _OPTIONAL
            ],
        )
        return report(status, self._books)

    def _silence(self, now: float) -> str:
        """Explain why no tracks arrive; empty where some do, or where none are expected."""
        seconds = now - max(self._books.last_arrival or 0.0, self._active_since)
        if self._state != "active" or seconds < self._values["no_tracks_s"]:
            return ""
        publishers = self._node.count_publishers(self._tracks_topic)
        remedy = "is a2vis active, and does it get images?" if publishers else "start a2vis_node, or remap a2vis/tracks"
        return f"no tracks on {self._tracks_topic} for {seconds:.0f} s ({publishers} publishers); {remedy}"

    def _on_lost(self, topic: str, event: Any) -> None:
        self._books.lose(topic, event.total_count_change, time.monotonic())

    def _on_incompatible_publisher(self, topic: str, event: Any) -> None:
        self._log.error(qos.mismatch_of_subscription(topic, event.last_policy_kind))

    def _on_incompatible_reader(self, topic: str, event: Any) -> None:
        self._log.error(qos.mismatch_of_publisher(topic, event.last_policy_kind))
