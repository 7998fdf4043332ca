"""Image backbones: images [N, 3, H, W] to four maps at strides 4, 8, 16 and 32."""

from .efficientnet_lite import EfficientNetLite0
from .mobilenet_v2 import MobileNetV2
from .norm import fold_batch_norms
from .resnet import ResNet, ResNet50
from .swin import Swin

__all__ = ["EfficientNetLite0", "MobileNetV2", "ResNet", "ResNet50", "Swin", "fold_batch_norms"]
