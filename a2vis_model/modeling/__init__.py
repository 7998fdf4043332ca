"""The network: one module for each part that the paper names."""

from .a2vis import A2VIS, ClipOutput, Stage, VideoNetwork
from .baselines import VITA, FrameQueryTracker, GenVIS, Mask2FormerVIS
from .build import build_blank, build_detector, build_model, freeze
from .classification_head import ClassificationHead
from .clip_window import ClipWindow
from .deformable_attention import DeformableAttention, sample_bilinear
from .detector import Detector, DetectorOutput, FrameDetections
from .features import ClipPrediction, ClipState, FrameFeatures, StreamNetwork, concatenate, recycle_slots
from .frame_decoder import DecoderLevel, FrameDecoder
from .instance_prototypes import InstancePrototypes, Prototypes
from .pixel_decoder import PixelDecoder, PixelFeatures
from .predictions import SetPrediction, TrackPrediction, Unrolled, split_clips
from .prototype_update import PrototypeGate, PrototypeUpdate
from .samh import SAMH, AmodalFeatureExtraction
from .visible_mask_head import VisibleMaskHead

__all__ = [
    "A2VIS",
    "SAMH",
    "VITA",
    "AmodalFeatureExtraction",
    "ClassificationHead",
    "ClipOutput",
    "ClipPrediction",
    "ClipState",
    "ClipWindow",
    "DecoderLevel",
    "DeformableAttention",
    "Detector",
    "DetectorOutput",
    "FrameDecoder",
    "FrameDetections",
    "FrameFeatures",
    "FrameQueryTracker",
    "GenVIS",
    "InstancePrototypes",
    "Mask2FormerVIS",
    "PixelDecoder",
    "PixelFeatures",
    "PrototypeGate",
    "PrototypeUpdate",
    "Prototypes",
    "SetPrediction",
    "Stage",
    "StreamNetwork",
    "TrackPrediction",
    "Unrolled",
    "VideoNetwork",
    "VisibleMaskHead",
    "build_blank",
    "build_detector",
    "build_model",
    "concatenate",
    "freeze",
    "recycle_slots",
    "sample_bilinear",
    "split_clips",
]
