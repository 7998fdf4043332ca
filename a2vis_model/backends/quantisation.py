"""Post-training quantisation of the frame graph to int8, by NNCF."""

import importlib
import logging
from collections.abc import Iterable
from typing import Any

from ..errors import BackendError


def quantise(model: Any, samples: Iterable[Any]) -> Any:
    """Quantise the convolutions of an OpenVINO model, except depthwise ones.

    All else stays fp32; NNCF by itself rounds also what norms, sums and deformable attention's products read.
    Depthwise kernels are often differences, whose weights cancel; once rounded they do not, and add local brightness.

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
    # A depthwise one has the type "GroupConvolution".
    kinds = {node.get_type_name() for node in model.get_ops()}
    ignored = sorted(kinds - {"Convolution", "Constant", "Parameter", "Result"})
    return nncf.quantize(
        model,
        nncf.Dataset(kept),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(kept),
        ignored_scope=nncf.IgnoredScope(types=ignored, validate=False),
        # Without VNNI processors add pairs of products in 16 bits, which overflow unless weights have 7 bits.
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )
