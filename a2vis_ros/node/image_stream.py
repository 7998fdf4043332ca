"""The stream of one camera of a configured node: subscription, queue, pipeline, publishers.

It is made by configure, runs between activate and deactivate, and is closed by cleanup.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSPolicyKind, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from a2vis_model.errors import printable

from ..msg import ClassNames
from ..programs.reports import Report
from ..stream.cameras import Camera
from ..stream.degradation import Degradation
from ..stream.diagnostics import NodeStatus, StreamStatistics, report
from ..stream.frame_queue import FrameQueue, Ledger
from ..stream.image_decoding import ImageDecoder, ImageError
from ..stream.image_message import read_image
from ..stream.intake import FrameIntake
from ..stream.models import LoadedModel, gpu_memory
from ..stream.parameters import ParameterError, Settings
from ..stream.pipeline import FramePipeline, ProcessedFrame
from ..stream.worker import Lane, Worker
from . import messages, qos
from .outputs import OUTPUTS, Publications
from .status_publisher import StatusPublisher
from .topics import status_name, transport_topic

_LOG_PERIOD_S = 2.0
"""Shortest interval in seconds at which a repeated warning is logged; its causes are counted every time."""
_LONGEST_ERROR = 500
"""Largest number of characters of an error in /diagnostics."""
_ACKNOWLEDGED_S = 1.0
"""Longest wait in seconds until the last results are acknowledged."""
_PLAUSIBLE_AGE_S = 3600.0
"""Age in seconds, or lead, beyond which an image was stamped by another clock."""


class ImageStream:
    """Takes images, publishes tracks.

    Args:
        node: node that owns the topics.
        settings: values of the parameters.
        model: the model to run.
        worker: thread that runs it, for other cameras too.
        camera: the camera.
    """

    def __init__(
        self, node: LifecycleNode, settings: Settings, model: LoadedModel, worker: Worker, camera: Camera
    ) -> None:
        self._node = node
        self._log = node.get_logger().get_child(camera.name) if camera.name else node.get_logger()
        self._settings = settings
        self._model = model
        self._worker = worker
        self._session = messages.new_session()
        self._ledger = Ledger()
        self._statistics = StreamStatistics()
        self._intake = FrameIntake(
            self._ledger, max_gap_s=settings["max_gap_s"], max_image_side=settings["max_image_side"]
        )
        decoder = ImageDecoder(
            bits_per_sample=settings["bits_per_sample"], say=self._log.warning, on_damage=self._note_damage
        )
        tracker = model.new_tracker(settings.tracks(model.recommended))
        self._pipeline = FramePipeline(tracker, self._ledger, on_epoch=self._begin_epoch, decode=decoder.decode)
        self._degradation = Degradation(
            budget_s=self._age_budget(), stride=settings["stride"], max_stride=model.clip_length
        )
        self._lane: Lane | None = None
        self._subscription: Subscription | None = None
        self._state: Literal["inactive", "active", "disabled"] = "inactive"
        self._starts = 0
        self._active_since = 0.0
        self._last_error = ""
        self._clock_problem = ""

        compressed = settings["transport"] == "compressed"
        self._image_type = CompressedImage if compressed else Image
        image = camera.image
        self._topic = transport_topic(node, image, "compressed") if compressed else node.resolve_topic_name(image)
        self._input_qos = self._choose_qos()
        self._outputs = Publications(node, camera, OUTPUTS, self._on_incompatible_reader)
        place = partial(camera.place, node.get_name())
        # This is published while the node is still inactive, which a lifecycle publisher would not do.
        self._class_names = node.create_publisher(ClassNames, place("~/class_names"), qos.latched_qos())
        self._class_names.publish(messages.class_names_message(model.name, model.classes))
        self._reset_service = node.create_service(Trigger, place("~/reset"), self._serve_reset)
        self._enable_service = node.create_service(SetBool, place("~/enable"), self._serve_enable)
        self._status = StatusPublisher(
            node, status_name(node, camera), self._topic, settings["diagnostics_period_s"], self._report_status
        )

    def start(self, reason: str = "the node was activated again") -> None:
        """Have the worker serve it, then subscribe. From the second start on a new epoch begins, with this reason."""
        settings = self._settings
        queue = FrameQueue(
            policy=settings["policy"],
            capacity=settings["queue_size"],
            patience_s=settings["queue_patience_s"],
            ledger=self._ledger,
            changed=self._worker.turns.changed,
        )
        self._begin_budget()
        self._lane = Lane(queue, self._pipeline, self._publish, self._report)
        if self._starts:
            self._intake.guard.forget()
            self._lane.request(lambda pipeline: pipeline.restart(reason))
        self._starts += 1
        self._active_since = time.monotonic()
        self._worker.open(self._lane)
        self._subscribe(self._choose_qos())
        self._state = "active"

    def stop(self, state: Literal["inactive", "disabled"] = "inactive") -> None:
        """Unsubscribe, finish the open clip and take leave of the worker."""
        self._state = state
        self._unsubscribe()
        if self._lane is not None:
            self._worker.close(self._lane)
            self._lane = None
            # The program may end next, and with it what was not taken yet.
            self._outputs.wait_until_taken(_ACKNOWLEDGED_S)
            self._log.info(f"stopped; {self._ledger.read()}")

    def close(self) -> None:
        """Remove all topics and services."""
        self.stop()
        node = self._node
        self._status.close()
        node.destroy_service(self._enable_service)
        node.destroy_service(self._reset_service)
        node.destroy_publisher(self._class_names)
        self._outputs.close()

    def change(self, changes: Mapping[str, Any]) -> None:
        """Use other values of some parameters from the next frame on.

        Raises:
            ParameterError: a value cannot be used; nothing is changed.
        """
        settings = self._settings.change(changes)
        tracks = settings.tracks(self._model.recommended)
        self._settings = settings
        self._intake.guard.max_gap_s = settings["max_gap_s"]
        self._between_frames(lambda: self._pipeline.tracker.set_track_settings(tracks))
        if "age_budget_s" in changes:
            self._between_frames(self._begin_budget)

    def _subscribe(self, profile: QoSProfile) -> None:
        self._input_qos = profile
        self._subscription = self._node.create_subscription(
            self._image_type,
            self._topic,
            self._take,
            profile,
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._on_incompatible_publisher, message_lost=self._on_lost, matched=self._on_matched
            ),
            raw=True,
        )
        self._log.info(f"subscribed to {self._topic}, policy {self._settings['policy']}, {qos.in_words(profile)}")

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _choose_qos(self) -> QoSProfile:
        """Choose the QoS by the policy, the publishers that are known now, and the user's overrides."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        default = qos.image_qos(self._settings["policy"], [info.qos_profile.reliability for info in publishers])
        return qos.overridden(self._node, "subscription", self._topic, default)

    @property
    def _adapts(self) -> bool:
        """Return whether the subscription's reliability follows that of the publishers."""
        override = self._node.get_parameter(f"qos_overrides.{self._topic}.subscription.reliability").value
        return self._settings["policy"] == "latest" and not override

    def _adapt(self) -> None:
        """Subscribe again where publishers that appeared or left require another reliability."""
        if self._subscription is None or not self._adapts or not self._node.count_publishers(self._topic):
            return
        try:
            profile = self._choose_qos()
        except ParameterError as error:
            # An override was set after activation; the present subscription is kept.
            self._report(str(error))
            return
        if profile.reliability != self._input_qos.reliability:
            self._unsubscribe()
            self._subscribe(profile)

    def _adapt_soon(self) -> None:
        # This must not run within a callback of the subscription that may be replaced.
        if self._node.executor is not None:
            self._node.executor.create_task(self._adapt)

    def _take(self, content: bytes) -> None:
        """Check and queue a serialised image; this is the subscription's callback and does nothing else."""
        now, breaks = time.monotonic(), self._intake.breaks
        try:
            message = read_image(content, compressed=self._image_type is CompressedImage)
        except ImageError as error:
            self._statistics.arrive(now, None)
            self._intake.refuse(error)
            self._report(f"image dropped: {error}")
            return
        self._statistics.arrive(now, message.stamp.seconds)
        try:
            frame = self._intake.accept(message.stamp, message.frame_id, message.image)
        except ImageError as error:
            self._report(f"image dropped: {error}")
            return
        if self._intake.breaks > breaks:
            self._statistics.breaks.add(now)
        if self._lane is not None:
            self._lane.queue.put(frame)

    def _publish(self, processed: ProcessedFrame) -> None:
        """Publish a result; called in the worker's thread."""
        start = time.monotonic()
        message = messages.tracks_message(processed, self._model.backend, self._session)
        age = self._age(processed)
        message.timings.encode_ms, message.timings.age_ms = (time.monotonic() - start) * 1e3, age * 1e3
        self._outputs.publish(processed, message, self._settings, expendable=False)
        self._statistics.publish(age, [instance.state.name.lower() for instance in processed.result.instances])
        if self._degradation.observe(age):
            self._pipeline.tracker.set_stride(self._degradation.stride)
            self._log.info(f"degradation: {self._degradation}")
        if self._degradation.pictures:
            self._outputs.publish(processed, message, self._settings, expendable=True)

    def _age_budget(self) -> float:
        """Return the budget of the results' age.

        A replay has none, to give the same results on slow and fast computers.
        """
        return float(self._settings["age_budget_s"]) if self._settings["policy"] == "latest" else 0.0

    def _begin_budget(self) -> None:
        """Start to judge ages anew, with everything enabled."""
        self._degradation.set_budget(self._age_budget())
        self._pipeline.tracker.set_stride(self._degradation.stride)

    def _between_frames(self, action: Callable[[], None]) -> None:
        """Run an action that must not interrupt the worker's work on a frame."""
        if self._lane is None:
            action()
        else:
            self._lane.request(lambda pipeline: action())

    def _age(self, processed: ProcessedFrame) -> float:
        """Return the seconds from the image's stamp until now; NaN where its stamp is not of this node's clock."""
        now = self._node.get_clock().now().nanoseconds
        stamp = processed.frame.stamp
        if not stamp.is_set:
            return math.nan
        age = (now - stamp.nanoseconds) * 1e-9
        sim_time = bool(self._node.get_parameter("use_sim_time").value)
        if abs(age) <= _PLAUSIBLE_AGE_S and (now or not sim_time):
            self._clock_problem = ""
            return age
        if not self._clock_problem:
            clocks = self._node.count_publishers("/clock")
            self._clock_problem = qos.clock_advice(age, sim_time, now, clocks)
            self._log.warning(self._clock_problem)
        return math.nan

    def _begin_epoch(self, reason: str) -> None:
        epoch = self._pipeline.tracker.epoch
        self._statistics.epoch, self._statistics.epoch_reason = epoch, reason
        self._log.info(f"epoch {epoch} begins: {reason}")

    def _note_damage(self, text: str) -> None:
        """Count and report a damaged image; the decoder calls it in the worker's thread."""
        self._statistics.damaged += 1
        self._report(text)

    def _report(self, text: str) -> None:
        if not self._node.context.ok():
            # After an interrupt the worker's remaining results cannot be published, which is expected.
            return
        self._note(text)
        self._log.warning(text, throttle_duration_sec=_LOG_PERIOD_S)

    def _note(self, error: str) -> None:
        """Keep an error for the diagnostics."""
        self._last_error = printable(error.splitlines()[0], _LONGEST_ERROR)
        self._statistics.errors.add(time.monotonic())

    def _report_status(self) -> Report:
        """Report the present status."""
        now = time.monotonic()
        silence = self._silence(now)
        if silence:
            self._log.warning(silence, throttle_duration_sec=30.0)
        settings = self._settings
        status = NodeStatus(
            state=self._state,
            model=self._model,
            gpu_memory=gpu_memory(self._model.device),
            policy=settings["policy"],
            ledger=self._ledger.read(),
            waiting=0 if self._lane is None else len(self._lane.queue),
            unstamped=self._intake.unstamped,
            non_increasing_stamps=self._intake.guard.non_increasing_stamps,
            silence=silence,
            input_qos=qos.in_words(self._input_qos) if self._subscription is not None else "",
            mixed_sources=self._mixed_sources(),
            clock=self._clock_problem,
            age_warn_s=settings["age_warn_s"],
            age_error_s=settings["age_error_s"],
            last_error=self._last_error,
            degraded=self._degradation.degraded,
            degradation=str(self._degradation),
            subscribers=self._outputs.subscribers(),
        )
        return report(status, self._statistics, now)

    def _silence(self, now: float) -> str:
        """Explain why no images arrive; empty where some do, or where none are expected."""
        last = max(self._statistics.last_arrival or 0.0, self._active_since)
        seconds = now - last
        if self._lane is None or seconds < self._settings["no_image_s"]:
            return ""
        kinds = [info.topic_type for info in self._node.get_publishers_info_by_topic(self._topic)]
        wanted = f"sensor_msgs/msg/{self._image_type.__name__}"
        return qos.silence(self._topic, wanted, kinds, [] if kinds else self._images_elsewhere(wanted), seconds)

    def _images_elsewhere(self, wanted: str) -> list[str]:
        """Return the topics on which others publish images of the type."""
        node = self._node
        own = {name for name, _ in node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace())}
        found = [name for name, types in node.get_topic_names_and_types() if wanted in types and name not in own]
        return [name for name in found if node.count_publishers(name)]

    def _mixed_sources(self) -> str:
        frame_ids = self._intake.guard.frame_ids_in_turn
        return qos.mixed_sources(self._topic, self._node.count_publishers(self._topic), frame_ids) if frame_ids else ""

    def _serve_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._lane is not None
        response.message = "a new epoch begins" if response.success else "no images are processed; nothing to reset"
        if self._lane is not None:
            self._lane.request(lambda pipeline: pipeline.restart("requested by ~/reset"))
        return response

    def _serve_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop and start the stream without a transition; activation of the node enables it again."""
        response.success = self._state != "inactive"
        if not response.success:
            response.message = "the node is not active; activate it, which enables it too"
        elif request.data == (self._state == "active"):
            response.message = f"it is {self._state} already"
        elif request.data:
            self.start("enabled again by ~/enable")
            response.message = "images are processed again, and a new epoch begins"
        else:
            self.stop("disabled")
            response.message = "no images are processed until ~/enable is called with true"
        return response

    def _on_incompatible_publisher(self, event: Any) -> None:
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY and self._adapts:
            self._adapt_soon()
            return
        mismatch = qos.mismatch_of_subscription(self._topic, event.last_policy_kind)
        self._note(mismatch)
        self._log.error(mismatch)

    def _on_matched(self, event: Any) -> None:
        self._adapt_soon()

    def _on_incompatible_reader(self, topic: str, event: Any) -> None:
        self._log.error(qos.mismatch_of_publisher(topic, event.last_policy_kind))

    def _on_lost(self, event: Any) -> None:
        statistics, lost = self._statistics, event.total_count_change
        statistics.lose(time.monotonic(), lost)
        self._log.warning(
            f"{lost} images lost in transport, {statistics.transport_lost} since the node was configured "
            f"({qos.in_words(self._input_qos)})",
            throttle_duration_sec=_LOG_PERIOD_S,
        )
