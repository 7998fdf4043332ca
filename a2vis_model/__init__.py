"""A2VIS: amodal-aware video instance segmentation, in plain PyTorch and without ROS.

model, config = load_weights("onboard")
tracker = StreamingTracker(freeze(model), config, settings=read_track_settings("onboard"))
for result in tracker.push(image, timestamp):
    for instance in result.instances:
        print(instance.track_id, instance.class_name, instance.occlusion)

Names are imported when they are first used, so that the planner's side of a robot imports no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import openmp as openmp  # before torch

if TYPE_CHECKING:
    from .config import ModelConfig, load_config, preset_names, variant_names
    from .errors import A2VISError, CheckpointError, ConfigError, VideoError
    from .masks.region import RegionMask
    from .modeling import VideoNetwork, build_model, freeze
    from .shipped import shipped_weights
    from .tracking.settings import TrackSettings
    from .tracking.streaming import StreamingTracker, track_video
    from .tracking.tracks import FrameResult, TrackedInstance, TrackState
    from .weights import load_weights, read_track_settings, save_weights

__version__ = "0.1.0"

__all__ = [
    "A2VISError",
    "CheckpointError",
    "ConfigError",
    "FrameResult",
    "ModelConfig",
    "RegionMask",
    "StreamingTracker",
    "TrackSettings",
    "TrackState",
    "TrackedInstance",
    "VideoError",
    "VideoNetwork",
    "build_model",
    "freeze",
    "load_config",
    "load_weights",
    "preset_names",
    "read_track_settings",
    "save_weights",
    "shipped_weights",
    "track_video",
    "variant_names",
]

_MODULES = {
    "config": ("ModelConfig", "load_config", "preset_names", "variant_names"),
    "errors": ("A2VISError", "CheckpointError", "ConfigError", "VideoError"),
    "masks.region": ("RegionMask",),
    "modeling": ("VideoNetwork", "build_model", "freeze"),
    "shipped": ("shipped_weights",),
    "tracking.streaming": ("StreamingTracker", "track_video"),
    "tracking.settings": ("TrackSettings",),
    "tracking.tracks": ("FrameResult", "TrackState", "TrackedInstance"),
    "weights": ("load_weights", "read_track_settings", "save_weights"),
}
"""The public names by the module that defines them, as the imports above state them for type checkers."""
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names too, imported or not."""
    return sorted({*globals(), *__all__})
