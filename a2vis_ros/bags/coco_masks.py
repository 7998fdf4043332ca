"""Masks of the messages to and from pycocotools' compressed run lengths, which run column by column over the image."""

from typing import Any

import numpy as np
from pycocotools import mask as _coco

from ..planner.mask_codec import RunLengthMask, decode_image, encode_image


def to_coco(mask: RunLengthMask, height: int, width: int) -> dict[str, Any]:
    """{"size": [height, width], "counts": str} of a mask in an image of that size."""
    encoded: Any = _coco.encode(np.asfortranarray(decode_image(mask, height, width), np.uint8))
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def from_coco(encoded: Any) -> RunLengthMask:
    """The mask that {"size": [height, width], "counts": str or bytes} holds."""
    return encode_image(np.asarray(_coco.decode(encoded), np.bool_))
