"""Names of backends, precisions and devices; without PyTorch, so that parameters can be declared without it."""

from typing import Literal, get_args

EngineName = Literal["compile", "tensorrt", "openvino"]
BackendName = Literal["auto", "eager", "compile", "tensorrt", "openvino"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""fp16 and int8 keep fp32 where it matters, see `half_precision` and `quantise`; bf16 is what OpenVINO makes of it."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
OpenVINODevice = Literal["cpu", "intel:gpu", "intel:npu"]
"""Devices that the backend openvino can compute on; the network's own tensors are on the CPU."""
OPENVINO_DEVICES: tuple[OpenVINODevice, ...] = get_args(OpenVINODevice)


def openvino_device(name: str) -> OpenVINODevice:
    """What the backend openvino computes on for the name of a device: the CPU, unless one of Intel's is named."""
    return next((device for device in OPENVINO_DEVICES if device == name), "cpu")
