"""Tensor names of Swin in other software, mapped to ours (relative to the backbone)."""

from ..rules import HEAD, Format, Rule, dropped, fused, module, tensor, under


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
        dropped(r"head\..*", HEAD),
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
        dropped(r"classifier\..*", HEAD),
    )


DETECTRON2 = _microsoft_swin(downsample_offset=0)
"""Rules for its names inside Mask2Former, VITA and GenVIS of detectron2."""
TRANSFORMERS = _transformers_swin()
"""Rules for its names inside Mask2Former of transformers."""

_MARKS = (
    r"(?:backbone\.)?layers\.0\.blocks\.0\.attn\.qkv\.weight",
    r"(?:backbone\.)?layers\.0\.blocks\.0\.attn\.relative_position_bias_table",
)

FORMATS = (
    Format(
        name="Swin of Microsoft or detectron2",
        marks=(*_MARKS, r"(?:backbone\.)?layers\.0\.downsample\..*"),
        rules=under(DETECTRON2, r"(?:backbone\.)?", "detector.backbone."),
    ),
    Format(
        name="Swin of timm",
        marks=(*_MARKS, r"(?:backbone\.)?layers\.3\.downsample\..*"),
        rules=under(_microsoft_swin(downsample_offset=1), r"(?:backbone\.)?", "detector.backbone."),
    ),
    Format(
        name="Swin of transformers",
        marks=(
            r"(?:swin\.)?embeddings\.patch_embeddings\.projection\.weight",
            r".*\.relative_position_bias_table",
        ),
        rules=under(TRANSFORMERS, "", "detector.backbone."),
    ),
)
