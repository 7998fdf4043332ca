"""The masks of the messages, for planners: those of the tracks themselves. NumPy alone; no torch, no ROS."""

from a2vis_model.masks.box_runs import (
    MAX_PIXELS,
    MaskError,
    MaskSet,
    RunLengthMask,
    check_image,
    decode_image,
    encode_box,
    encode_image,
)

from ..wire.counts import MAX_INSTANCES

__all__ = [
    "MAX_INSTANCES",
    "MAX_PIXELS",
    "MaskError",
    "MaskSet",
    "RunLengthMask",
    "check_image",
    "decode_image",
    "encode_box",
    "encode_image",
]
