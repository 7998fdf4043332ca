"""Post-training quantisation of the frame graph to int8, by NNCF."""

import importlib
import logging
from collections.abc import Iterable
from typing import Any

from ..errors import BackendError


def quantise(model: Any, samples: Iterable[Any]) -> Any:
    """Quantise the convolutions of an OpenVINO model.

    In fp32 stay norms and softmax, which NNCF leaves alone, and all matrix products: of two computed tensors masks are
    made and attention consists; linear layers say where deformable attention samples and which cells a query may see.

    Args:
        model: OpenVINO's, of one input.
        samples: inputs by which the ranges of activations are chosen.

    Raises:
        BackendError: without NNCF, or without samples.
    """
    try:
        nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise BackendError(f"precision=int8: {error}; pip install 'a2vis_ros[openvino]', which brings nncf") from error
    kept = list(samples)
    if not kept:
        raise BackendError("precision=int8: there are no frames to calibrate with; give a video or a folder of images")
    # It tells of every step otherwise.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(kept),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(kept),
        ignored_scope=nncf.IgnoredScope(types=["MatMul", "ScaledDotProductAttention"], validate=False),
    )
