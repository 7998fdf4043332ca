"""A2VIS: amodal-aware video instance segmentation, in plain PyTorch and without ROS.

model, config = load_weights("onboard")
tracker = StreamingTracker(freeze(model), config)
for result in tracker.push(image, timestamp):
    for instance in result.instances:
        print(instance.track_id, instance.class_name, instance.occlusion)
"""

from . import openmp as openmp  # before torch

# isort: split
from .config import ModelConfig, load_config, preset_names, variant_names
from .errors import A2VISError, CheckpointError, ConfigError, VideoError
from .masks.region import RegionMask
from .modeling import VideoNetwork, build_model, freeze
from .shipped import shipped_weights
from .tracking.streaming import FrameResult, StreamingTracker, track_video
from .tracking.tracks import TrackedInstance, TrackSettings, TrackState
from .weights import load_weights, save_weights

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
    "save_weights",
    "shipped_weights",
    "track_video",
    "variant_names",
]
