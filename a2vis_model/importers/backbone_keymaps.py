"""Tensor names of backbones in other software, mapped to our names (relative to the backbone)."""

from collections.abc import Sequence

from .rules import Rule, dropped, fused, module, tensor

_COUNTER = dropped(r".*\.num_batches_tracked", "counts updates of statistics that are frozen here")
_HEAD = "classification head"


def _conv_norm(conv: str, norm: str, target: str) -> tuple[Rule, Rule]:
    return module(conv, f"{target}.conv"), module(norm, f"{target}.norm")


def _torchvision_resnet() -> tuple[Rule, ...]:
    rules = [*_conv_norm("conv1", "bn1", "stem"), _COUNTER, dropped(r"fc\..*", _HEAD)]
    for stage in range(4):
        block, ours = rf"layer{stage + 1}\.(\d+)", rf"stages.{stage}.\1"
        for number, part in enumerate(("reduce", "spatial", "expand"), start=1):
            rules += _conv_norm(rf"{block}\.conv{number}", rf"{block}\.bn{number}", f"{ours}.{part}")
        rules += _conv_norm(rf"{block}\.downsample\.0", rf"{block}\.downsample\.1", f"{ours}.shortcut")
    return tuple(rules)


def _detectron2_resnet() -> tuple[Rule, ...]:
    rules = [
        *_conv_norm(r"stem\.conv1", r"stem\.conv1\.norm", "stem"),
        _COUNTER,
        dropped(r"(?:stem\.)?(?:fc|linear)\..*", _HEAD),
    ]
    parts = {"conv1": "reduce", "conv2": "spatial", "conv3": "expand", "shortcut": "shortcut"}
    for stage in range(4):
        for theirs, part in parts.items():
            conv = rf"res{stage + 2}\.(\d+)\.{theirs}"
            rules += _conv_norm(conv, rf"{conv}\.norm", rf"stages.{stage}.\1.{part}")
    return tuple(rules)


def _transformers_resnet() -> tuple[Rule, ...]:
    parts = {r"layer\.0": "reduce", r"layer\.1": "spatial", r"layer\.2": "expand", "shortcut": "shortcut"}
    layers = {r"embedder\.embedder": "stem"} | {
        rf"encoder\.stages\.(\d+)\.layers\.(\d+)\.{theirs}": rf"stages.\1.\2.{part}" for theirs, part in parts.items()
    }
    rules = [_COUNTER, dropped(r"classifier\..*", _HEAD)]
    for theirs, ours in layers.items():
        rules += _conv_norm(rf"{theirs}\.convolution", rf"{theirs}\.normalization", ours)
    return tuple(rules)


def _microsoft_swin(*, downsample_offset: int) -> tuple[Rule, ...]:
    """Map the names of Microsoft's classifiers, which detectron2 projects and timm keep.

    Args:
        downsample_offset: 0 where a stage ends with its downsampling; 1 where it begins with it, as in timm
            since 0.9.
    """
    block, ours = r"layers\.(\d+)\.blocks\.(\d+)", r"stages.\1.blocks.\2"
    return (
        module(r"patch_embed\.(proj|norm)", r"patch_embed.\1"),
        module(rf"{block}\.(norm1|norm2)", rf"{ours}.\3"),
        module(rf"{block}\.mlp\.(fc1|fc2)", rf"{ours}.\3"),
        fused(rf"{block}\.attn\.qkv\.", f"{ours}.attention"),
        module(rf"{block}\.attn\.proj", f"{ours}.attention.out"),
        tensor(rf"{block}\.attn\.relative_position_bias_table", f"{ours}.attention.bias_table"),
        *(
            module(
                rf"layers\.{stage + downsample_offset}\.downsample\.(norm|reduction)",
                rf"stages.{stage}.downsample.\1",
            )
            for stage in range(3)
        ),
        module(r"norm([0-3])", r"out_norms.\1"),
        dropped(r".*\.(?:relative_position_index|attn_mask)", "computed here"),
        dropped(r"norm\..*", "norm of the classifier"),
        dropped(r"head\..*", _HEAD),
    )


def _transformers_swin() -> tuple[Rule, ...]:
    """Map the names of weight files (transformers 4.x) and of modules (since transformers 5)."""
    block, ours = r"(?:swin\.)?encoder\.layers\.(\d+)\.blocks\.(\d+)", r"stages.\1.blocks.\2"
    attention = rf"{block}\.attention"
    return (
        module(r"(?:swin\.)?embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
        module(r"(?:swin\.)?embeddings\.norm", "patch_embed.norm"),
        module(rf"{block}\.layernorm_before", f"{ours}.norm1"),
        module(rf"{block}\.layernorm_after", f"{ours}.norm2"),
        module(rf"{attention}\.(?:self\.query|q_proj)", f"{ours}.attention.q"),
        module(rf"{attention}\.(?:self\.key|k_proj)", f"{ours}.attention.k"),
        module(rf"{attention}\.(?:self\.value|v_proj)", f"{ours}.attention.v"),
        module(rf"{attention}\.(?:output\.dense|o_proj)", f"{ours}.attention.out"),
        tensor(
            rf"{attention}\.(?:self|relative_position_bias)\.relative_position_bias_table",
            f"{ours}.attention.bias_table",
        ),
        module(rf"{block}\.(?:intermediate\.dense|mlp\.fc1)", f"{ours}.fc1"),
        module(rf"{block}\.(?:output\.dense|mlp\.fc2)", f"{ours}.fc2"),
        module(r"(?:swin\.)?encoder\.layers\.([0-2])\.downsample\.(norm|reduction)", r"stages.\1.downsample.\2"),
        *(module(rf"hidden_states_norms\.stage{stage + 1}", f"out_norms.{stage}") for stage in range(4)),
        dropped(r".*\.relative_position_index", "computed here"),
        dropped(r"(?:swin\.)?layernorm\..*", "norm of the classifier"),
        dropped(r"classifier\..*", _HEAD),
    )


def _block_names(depths: Sequence[int]) -> list[str]:
    """Return our names of blocks that other software numbers from first to last."""
    return [f"stages.{stage}.{block}" for stage, depth in enumerate(depths) for block in range(depth)]


def _efficientnet_lite() -> tuple[Rule, ...]:
    parts = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    rules = [
        *_conv_norm("_conv_stem", "_bn0", "stem"),
        _COUNTER,
        dropped(r"(?:_conv_head|_bn1|_fc)\..*", _HEAD),
    ]
    for number, ours in enumerate(_block_names((3, 2, 6, 5))):
        for part, (conv, norm) in parts.items():
            rules += _conv_norm(rf"_blocks\.{number}\.{conv}", rf"_blocks\.{number}\.{norm}", f"{ours}.{part}")
    return tuple(rules)


def _mobilenet_v2(*, nested: bool) -> tuple[Rule, ...]:
    """Map the names of blocks numbered from first to last, inside which the layers are numbered too.

    Args:
        nested: each convolution with its norm and activation is numbered by itself, as in torchvision; otherwise all
            layers of a block are numbered one after another.
    """
    rules = [
        *_conv_norm(r"features\.0\.0", r"features\.0\.1", "stem"),
        _COUNTER,
        dropped(r"(?:features\.18|classifier)\..*", _HEAD),
    ]
    for number, ours in enumerate(_block_names((3, 3, 7, 4)), start=1):
        # The first block has no expansion. Each part is a convolution, a norm and, except for the last, an activation.
        parts = ("expand", "depthwise", "project")[1 if number == 1 else 0 :]
        for position, part in enumerate(parts):
            layers = rf"features\.{number}\.conv"
            if not nested:
                conv, norm = 3 * position, 3 * position + 1
            elif part == "project":
                conv, norm = position, position + 1
            else:
                layers, conv, norm = rf"{layers}\.{position}", 0, 1
            rules += _conv_norm(rf"{layers}\.{conv}", rf"{layers}\.{norm}", f"{ours}.{part}")
    return tuple(rules)


RESNET_TORCHVISION = _torchvision_resnet()
RESNET_DETECTRON2 = _detectron2_resnet()
RESNET_TRANSFORMERS = _transformers_resnet()
SWIN_MICROSOFT = _microsoft_swin(downsample_offset=0)
SWIN_TIMM = _microsoft_swin(downsample_offset=1)
SWIN_TRANSFORMERS = _transformers_swin()
EFFICIENTNET_LITE0 = _efficientnet_lite()
MOBILENET_V2_TORCHVISION = _mobilenet_v2(nested=True)
MOBILENET_V2_FLAT = _mobilenet_v2(nested=False)
