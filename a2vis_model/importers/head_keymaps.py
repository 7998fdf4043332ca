"""Tensor names of the detector's heads and of VITA in other software, mapped to ours in the video network."""

from .rules import Rule, dropped, fused, module, tensor, under

_LOSS = "class weights of the loss"


def _detectron2_attention(source: str, target: str) -> tuple[Rule, ...]:
    """Map one post-norm attention block, `source`; its attention is `self_attn` or `multihead_attn`."""
    attention = rf"{source}\.(?:self_attn|multihead_attn)"
    return (
        fused(rf"{attention}\.in_proj_", f"{target}.attention"),
        module(rf"{attention}\.out_proj", f"{target}.attention.out"),
        module(rf"{source}\.norm", f"{target}.norm"),
    )


def _detectron2_decoder(target: str) -> tuple[Rule, ...]:
    """Map the query decoder layers, which Mask2Former and VITA name alike."""
    layer = rf"{target}.\1"
    return (
        *_detectron2_attention(r"transformer_cross_attention_layers\.(\d+)", f"{layer}.cross"),
        *_detectron2_attention(r"transformer_self_attention_layers\.(\d+)", f"{layer}.self_attention"),
        module(r"transformer_ffn_layers\.(\d+)\.(linear1|linear2|norm)", rf"{layer}.ffn.\2"),
    )


def _detectron2_pixel_decoder() -> tuple[Rule, ...]:
    layer = r"transformer\.encoder\.layers\.(\d+)"
    return (
        module(r"input_proj\.(\d+)\.([01])", r"input_proj.\1.\2"),
        tensor(r"transformer\.level_embed", "level_embed"),
        module(
            rf"{layer}\.self_attn\.(sampling_offsets|attention_weights|value_proj|output_proj)",
            r"layers.\1.attention.\2",
        ),
        module(rf"{layer}\.norm1", r"layers.\1.norm"),
        module(rf"{layer}\.(linear1|linear2)", r"layers.\1.ffn.\2"),
        module(rf"{layer}\.norm2", r"layers.\1.ffn.norm"),
        module("adapter_1", "lateral.0.0"),
        module(r"adapter_1\.norm", "lateral.0.1"),
        module("layer_1", "fusion.0.0"),
        module(r"layer_1\.norm", "fusion.0.1"),
        module("mask_features", "mask_conv"),
    )


def _detectron2_frame_decoder() -> tuple[Rule, ...]:
    return (
        *_detectron2_decoder("layers"),
        # Mask2Former's first release called its queries static.
        tensor(r"(?:query_feat|static_query)\.weight", "query_content"),
        tensor(r"query_embed\.weight", "query_position"),
        tensor(r"level_embed\.weight", "level_embed"),
        module("decoder_norm", "norm"),
        module("class_embed", "class_head"),
        module(r"mask_embed\.layers\.(\d+)", r"mask_head.layers.\1"),
    )


def _vita() -> tuple[Rule, ...]:
    return (
        module("input_proj_dec", "prototypes.input_proj"),
        *_detectron2_attention(r"enc_self_attn\.(\d+)", r"prototypes.encoder.\1.self_attention"),
        module(r"enc_ffn\.(\d+)\.(linear1|linear2|norm)", r"prototypes.encoder.\1.ffn.\2"),
        *_detectron2_decoder("prototypes.decoder"),
        # A2VIS's global prototypes are initialised like the clip's.
        tensor(r"query_feat\.weight", "prototypes.query_content", "global_prototypes"),
        tensor(r"query_embed\.weight", "prototypes.query_position"),
        tensor(r"fq_pos\.weight", "prototypes.token_position"),
        module("decoder_norm", "prototypes.norm"),
        module("class_embed", "prototypes.class_head"),
        module("sim_embed_frame", "prototypes.frame_similarity"),
        module("sim_embed_clip", "prototypes.clip_similarity"),
        module("vita_mask_features", "mask_conv"),
        # Amodal mask embeddings are initialised from those of visible masks.
        module(r"mask_embed\.layers\.(\d+)", r"visible_head.embed.layers.\1", r"samh.mask_embed.layers.\1"),
        module("pre_memory_embed_k", "memory_key"),
        module("pre_memory_embed_v", "memory_value"),
        module("pre_query_embed_k", "query_key"),
        module("pre_query_embed_v", "query_value"),
    )


def _transformers_pixel_decoder() -> tuple[Rule, ...]:
    layer = r"encoder\.layers\.(\d+)"
    return (
        module(r"input_projections\.(\d+)\.([01])", r"input_proj.\1.\2"),
        tensor("level_embed", "level_embed"),
        module(
            rf"{layer}\.self_attn\.(sampling_offsets|attention_weights|value_proj|output_proj)",
            r"layers.\1.attention.\2",
        ),
        module(rf"{layer}\.self_attn_layer_norm", r"layers.\1.norm"),
        module(rf"{layer}\.fc([12])", r"layers.\1.ffn.linear\2"),
        module(rf"{layer}\.final_layer_norm", r"layers.\1.ffn.norm"),
        module(r"adapter_1\.([01])", r"lateral.0.\1"),
        module(r"layer_1\.([01])", r"fusion.0.\1"),
        module("mask_projection", "mask_conv"),
    )


def _transformers_frame_decoder() -> tuple[Rule, ...]:
    layer = r"decoder\.layers\.(\d+)"
    return (
        fused(rf"{layer}\.cross_attn\.in_proj_", r"layers.\1.cross.attention"),
        module(rf"{layer}\.cross_attn\.out_proj", r"layers.\1.cross.attention.out"),
        module(rf"{layer}\.cross_attn_layer_norm", r"layers.\1.cross.norm"),
        module(rf"{layer}\.self_attn\.([qkv])_proj", r"layers.\1.self_attention.attention.\2"),
        module(rf"{layer}\.self_attn\.out_proj", r"layers.\1.self_attention.attention.out"),
        module(rf"{layer}\.self_attn_layer_norm", r"layers.\1.self_attention.norm"),
        module(rf"{layer}\.fc([12])", r"layers.\1.ffn.linear\2"),
        module(rf"{layer}\.final_layer_norm", r"layers.\1.ffn.norm"),
        module(r"decoder\.layernorm", "norm"),
        module(r"decoder\.mask_predictor\.mask_embedder\.(\d+)\.0", r"mask_head.layers.\1"),
        tensor(r"queries_features\.weight", "query_content"),
        tensor(r"queries_embedder\.weight", "query_position"),
        tensor(r"level_embed\.weight", "level_embed"),
    )


MASK2FORMER_DETECTRON2 = (
    *under(_detectron2_frame_decoder(), r"sem_seg_head\.predictor\.", "detector.frame_decoder."),
    # Heads before version 2 had no level of their own for the pixel decoder.
    *under(_detectron2_pixel_decoder(), r"sem_seg_head\.(?:pixel_decoder\.)?", "detector.pixel_decoder."),
    *under(_vita(), r"vita_module\.", ""),
    dropped(r".*criterion\.empty_weight", _LOSS),
)
MASK2FORMER_TRANSFORMERS = (
    *under(
        _transformers_pixel_decoder(),
        r"(?:model\.)?pixel_level_module\.decoder\.",
        "detector.pixel_decoder.",
    ),
    *under(_transformers_frame_decoder(), r"(?:model\.)?transformer_module\.", "detector.frame_decoder."),
    module("class_predictor", "detector.frame_decoder.class_head"),
    dropped(r"criterion\.empty_weight", _LOSS),
)
