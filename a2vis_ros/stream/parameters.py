"""Parameters of the node: one table of names, defaults, ranges and meanings, and the settings made from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a2vis_model import TrackSettings
from a2vis_model.backend_names import BACKENDS, PRECISIONS
from a2vis_model.shipped import DEFAULT_WEIGHTS

from ..programs.parameter_table import Parameter, ParameterError
from .cameras import Camera, read_cameras
from .frame_queue import POLICIES
from .models import ModelRequest

_TRACKS = TrackSettings()
_OF_THE_WEIGHTS = -1.0
"""Value of a threshold that is left to what the weights recommend."""

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("weights", DEFAULT_WEIGHTS, "name of shipped weights (see `a2vis weights`), or path of a weight file"),
    Parameter(
        "device",
        "auto",
        "where to compute: auto (CUDA if there is a GPU, else the CPU), cpu, cuda, cuda:N, intel:gpu, intel:npu",
    ),
    Parameter("backend", "auto", "backend of the network; auto takes the fastest available", choices=BACKENDS),
    Parameter(
        "precision", "fp32", "precision of the network; fp16 needs a GPU, bf16 and int8 openvino", choices=PRECISIONS
    ),
    Parameter("engine_cache", "", "folder where built engines are kept; empty for ~/.cache/a2vis/engines"),
    Parameter(
        "threads", 0, "CPU threads of the network; 0 for torch's choice, a thread a core or OMP_NUM_THREADS", 0, 1024
    ),
    Parameter(
        "input_width",
        0,
        "width of the network's input in pixels, a multiple of 32; smaller is faster and misses small objects; 0 for "
        "the weights' own",
        0,
        8192,
    ),
    Parameter("input_height", 0, "height of the network's input in pixels, a multiple of 32; see input_width", 0, 8192),
    Parameter("stride", 1, "frames between clips; a clip decides this many frames at once", 1, 64),
    Parameter("warmup_frames", 1, "frames run through the network while the node is configured", 0, 100),
    Parameter(
        "cameras",
        "",
        "names of cameras that share the model, separated by spaces, a namespace each; empty for one camera",
    ),
    Parameter(
        "images", "", "their images' topics in the same order, relative ones in the camera's namespace; empty for image"
    ),
    Parameter(
        "transport",
        "raw",
        "raw: sensor_msgs/Image; compressed: sensor_msgs/CompressedImage",
        choices=("raw", "compressed"),
    ),
    Parameter(
        "policy",
        "latest",
        "latest: the newest image alone, for a bounded age; every_frame: all of them, for replay",
        choices=POLICIES,
    ),
    Parameter(
        "queue_size", 30, "images that may wait in the node under every_frame; more wait in its subscription", 1, 10000
    ),
    Parameter(
        "queue_patience_s", 10.0, "seconds that every_frame waits for room in a full queue before dropping", 0.0, 3600.0
    ),
    Parameter(
        "max_gap_s", 0.5, "seconds between image stamps after which a new epoch begins", 0.001, 3600.0, dynamic=True
    ),
    Parameter("max_image_side", 8192, "larger images are refused, in pixels", 16, 65535),
    Parameter(
        "bits_per_sample", 16, "bits that the camera fills of 16-bit samples, such as 12; the upper 8 are used", 8, 16
    ),
    Parameter(
        "start_score",
        _OF_THE_WEIGHTS,
        f"score from which a track starts; below 0 for what the weights recommend, or else {_TRACKS.start_score:g}",
        -1.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "keep_score",
        _OF_THE_WEIGHTS,
        f"score from which a track is present; below 0 for what the weights recommend, or else {_TRACKS.keep_score:g}",
        -1.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "min_area", _TRACKS.min_area, "pixels of the network's input that a mask needs to count", 1, 10**6, dynamic=True
    ),
    Parameter(
        "confirm_frames",
        _TRACKS.confirm_frames,
        "visible frames until a tentative track is confirmed",
        1,
        1000,
        dynamic=True,
    ),
    Parameter(
        "max_occluded_frames",
        _TRACKS.max_occluded_frames,
        "frames after which a hidden track ends",
        0,
        10**6,
        dynamic=True,
    ),
    Parameter(
        "max_lost_frames", _TRACKS.max_lost_frames, "frames after which a lost track ends", 0, 10**6, dynamic=True
    ),
    Parameter(
        "idle_frames",
        0,
        "frames without a track after which a slot of the network is reset; 0 for what the weights recommend, or else "
        f"{_TRACKS.idle_frames}",
        0,
        10**6,
        dynamic=True,
    ),
    Parameter(
        "max_predicted_s",
        _TRACKS.max_predicted_s,
        "seconds for which the last full amodal mask of a hidden track is moved on, such as 0.5; 0 for never",
        0.0,
        3600.0,
        dynamic=True,
    ),
    Parameter(
        "duplicate_iou",
        _TRACKS.duplicate_iou,
        "overlap (IoU) of visible masks above which two slots of the network show one object",
        0.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "duplicate_part",
        _TRACKS.duplicate_part,
        "share of a visible mask inside another above which two slots of the network show one object",
        0.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "match_iou",
        _TRACKS.match_iou,
        "overlap (IoU) with a track's last visible mask from which a slot continues the track",
        0.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "reappear_similarity",
        _TRACKS.reappear_similarity,
        "cosine of prototypes from which a slot can be a track that is hidden or comes back",
        0.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "least_part",
        _TRACKS.least_part,
        "connected parts of a mask smaller than this share of its largest are left out as specks",
        0.0,
        1.0,
        dynamic=True,
    ),
    Parameter(
        "overlay_max_width", 960, "overlay images are scaled down to this width, in pixels", 16, 8192, dynamic=True
    ),
    Parameter(
        "detection_box",
        "visible",
        "box of vision_msgs/Detection2D: that of the visible or of the amodal mask",
        choices=("visible", "amodal"),
        dynamic=True,
    ),
    Parameter("autostart", False, "configure and activate when the program starts"),
    Parameter("no_image_s", 5.0, "seconds without an image until the node explains why there may be none", 0.1, 3600.0),
    Parameter("diagnostics_period_s", 1.0, "seconds between diagnostics", 0.05, 60.0),
    Parameter(
        "age_warn_s", 0.3, "p95 of the results' age from which diagnostics warn, in seconds", 0.0, 3600.0, dynamic=True
    ),
    Parameter(
        "age_error_s", 1.0, "p95 of the results' age from which diagnostics report an error", 0.0, 3600.0, dynamic=True
    ),
    Parameter(
        "age_budget_s",
        0.0,
        "p95 of the results' age from which latest gives up clips, then pictures, in seconds; 0 for never",
        0.0,
        3600.0,
        dynamic=True,
    ),
)

_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True)
class Settings:
    """The values of all parameters, each in its range and consistent with the others."""

    values: Mapping[str, Any]

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> "Settings":
        """Check values and make settings of them.

        Raises:
            ParameterError: a value cannot be used; the first one is named.
        """
        for parameter in PARAMETERS:
            parameter.check(values[parameter.name])
        if 0 <= values["start_score"] < values["keep_score"]:
            raise _ends_as_it_starts(values["keep_score"], f"start_score={values['start_score']:g}")
        if values["age_warn_s"] > values["age_error_s"]:
            raise ParameterError(
                f"age_warn_s={values['age_warn_s']:g} is over age_error_s={values['age_error_s']:g}; lower age_warn_s"
            )
        read_cameras(values["cameras"], values["images"])
        return cls(dict(values))

    @classmethod
    def defaults(cls, **changes: Any) -> "Settings":
        """Return the defaults with some changes."""
        unknown = changes.keys() - _BY_NAME.keys()
        if unknown:
            raise ParameterError(f"{min(unknown)} is no parameter; there are {', '.join(_BY_NAME)}")
        return cls.check({parameter.name: parameter.default for parameter in PARAMETERS} | changes)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def change(self, changes: Mapping[str, Any]) -> "Settings":
        """Return settings with other values of some dynamic parameters.

        Raises:
            ParameterError: a value cannot be used, or the parameter is not dynamic.
        """
        for name in changes:
            if not _BY_NAME[name].dynamic:
                raise ParameterError(f"{name} is read when the node is configured; deactivate and clean it up first")
        return Settings.check({**self.values, **changes})

    def tracks(self, recommended: Mapping[str, float]) -> TrackSettings:
        """Return the thresholds of the tracks.

        Args:
            recommended: what the weights recommend, for those that are left to them.

        Raises:
            ParameterError: what is given does not go with what is recommended.
        """
        values = {name: self.values[name] for name in TrackSettings.__dataclass_fields__}
        for name in ("start_score", "keep_score"):
            if values[name] < 0:
                values[name] = recommended.get(name, getattr(_TRACKS, name))
        if values["idle_frames"] == 0:
            values["idle_frames"] = int(recommended.get("idle_frames", _TRACKS.idle_frames))
        if values["keep_score"] > values["start_score"]:
            whose = "" if self.values["start_score"] >= 0 else ", which the weights recommend"
            raise _ends_as_it_starts(values["keep_score"], f"start_score={values['start_score']:g}{whose}")
        return TrackSettings(**values)

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Return the cameras, one or more."""
        return read_cameras(self["cameras"], self["images"])

    @property
    def model(self) -> ModelRequest:
        """Return which model to load."""
        return ModelRequest(
            weights=self["weights"],
            device=self["device"],
            backend=self["backend"],
            precision=self["precision"],
            engine_cache=self["engine_cache"],
            threads=self["threads"],
            input_width=self["input_width"],
            input_height=self["input_height"],
            stride=self["stride"],
            warmup_frames=self["warmup_frames"],
        )


def _ends_as_it_starts(keep_score: float, start: str) -> ParameterError:
    return ParameterError(
        f"keep_score={keep_score:g} is over {start}: a track would end as it starts; lower keep_score"
    )
