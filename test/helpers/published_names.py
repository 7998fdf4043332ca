"""Names and shapes of published weight files, and networks to put them into."""

import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from a2vis_model.backbone_config import SwinConfig
from a2vis_model.config import (
    FrameDecoderConfig,
    ModelConfig,
    PixelDecoderConfig,
    PrototypesConfig,
    SamhConfig,
)
from a2vis_model.modeling.backbones import ResNet, Swin

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)


State = dict[str, Tensor]


def randomise(module: nn.Module) -> None:
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif value.is_floating_point():
            value.normal_(std=0.3)


def save(state: State, path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def tiny_config(variant: str = "a2vis", *, classes: int = 5, window: int = 3) -> ModelConfig:
    return ModelConfig(
        name="tiny",
        classes=tuple(f"class {i}" for i in range(classes)),
        input_height=32,
        input_width=64,
        dim=32,
        mask_dim=32,
        heads=4,
        association="memory" if variant == "genvis" else "global",
        supervision="visible" if variant == "genvis" else "both",
        backbone=SwinConfig(name="swin", embed_dim=16, depths=(2, 2, 2, 2), heads=(2, 2, 4, 4), window=window),
        pixel_decoder=PixelDecoderConfig(layers=2, ffn_dim=48),
        frame_decoder=FrameDecoderConfig(queries=7, layers=3, ffn_dim=64),
        prototypes=PrototypesConfig(count=6, encoder_layers=2, decoder_layers=2, ffn_dim=64, window=0, memory=2),
        samh=SamhConfig(layers=1, conv_layers=2),
    )


# Each table leads from our names to the foreign ones, the other way than the importer's, and is written down
# independently of it: what goes there and comes back must be every tensor in its own place.

Table = list[tuple[str, str]]


BLOCK = r"stages\.(\d)\.blocks\.(\d+)\."


SWIN: Table = [
    (r"patch_embed\.(.*)", r"patch_embed.\1"),
    (BLOCK + r"(norm[12]\..*)", r"layers.\1.blocks.\2.\3"),
    (BLOCK + r"attention\.qkv\.(.*)", r"layers.\1.blocks.\2.attn.qkv.\3"),
    (BLOCK + r"attention\.out\.(.*)", r"layers.\1.blocks.\2.attn.proj.\3"),
    (BLOCK + r"attention\.bias_table", r"layers.\1.blocks.\2.attn.relative_position_bias_table"),
    (BLOCK + r"(fc[12]\..*)", r"layers.\1.blocks.\2.mlp.\3"),
    (r"stages\.(\d)\.downsample\.(.*)", r"layers.\1.downsample.\2"),
    (r"out_norms\.(\d)\.(.*)", r"norm\1.\2"),
]


PARTS = (("reduce", "1"), ("spatial", "2"), ("expand", "3"))


RESNET_TORCHVISION: Table = [
    (r"stem\.conv\.(.*)", r"conv1.\1"),
    (r"stem\.norm\.(.*)", r"bn1.\1"),
    *(
        entry
        for s in range(4)
        for part, number in PARTS
        for entry in (
            (rf"stages\.{s}\.(\d+)\.{part}\.conv\.(.*)", rf"layer{s + 1}.\1.conv{number}.\2"),
            (rf"stages\.{s}\.(\d+)\.{part}\.norm\.(.*)", rf"layer{s + 1}.\1.bn{number}.\2"),
            (rf"stages\.{s}\.(\d+)\.shortcut\.conv\.(.*)", rf"layer{s + 1}.\1.downsample.0.\2"),
            (rf"stages\.{s}\.(\d+)\.shortcut\.norm\.(.*)", rf"layer{s + 1}.\1.downsample.1.\2"),
        )
    ),
]


RESNET_DETECTRON2: Table = [
    (r"stem\.conv\.(.*)", r"stem.conv1.\1"),
    (r"stem\.norm\.(.*)", r"stem.conv1.norm.\1"),
    *(
        entry
        for s in range(4)
        for part, theirs in (*((part, f"conv{number}") for part, number in PARTS), ("shortcut", "shortcut"))
        for entry in (
            (rf"stages\.{s}\.(\d+)\.{part}\.conv\.(.*)", rf"res{s + 2}.\1.{theirs}.\2"),
            (rf"stages\.{s}\.(\d+)\.{part}\.norm\.(.*)", rf"res{s + 2}.\1.{theirs}.norm.\2"),
        )
    ),
]


def decoder_table(ours: str, theirs: str) -> Table:
    return [
        (
            rf"{ours}\.(\d+)\.cross\.attention\.qkv\.(.*)",
            rf"{theirs}transformer_cross_attention_layers.\1.multihead_attn.in_proj_\2",
        ),
        (
            rf"{ours}\.(\d+)\.cross\.attention\.out\.(.*)",
            rf"{theirs}transformer_cross_attention_layers.\1.multihead_attn.out_proj.\2",
        ),
        (rf"{ours}\.(\d+)\.cross\.norm\.(.*)", rf"{theirs}transformer_cross_attention_layers.\1.norm.\2"),
        (
            rf"{ours}\.(\d+)\.self_attention\.attention\.qkv\.(.*)",
            rf"{theirs}transformer_self_attention_layers.\1.self_attn.in_proj_\2",
        ),
        (
            rf"{ours}\.(\d+)\.self_attention\.attention\.out\.(.*)",
            rf"{theirs}transformer_self_attention_layers.\1.self_attn.out_proj.\2",
        ),
        (
            rf"{ours}\.(\d+)\.self_attention\.norm\.(.*)",
            rf"{theirs}transformer_self_attention_layers.\1.norm.\2",
        ),
        (rf"{ours}\.(\d+)\.ffn\.(.*)", rf"{theirs}transformer_ffn_layers.\1.\2"),
    ]


PIXEL, FRAME = r"detector\.pixel_decoder\.", r"detector\.frame_decoder\."


PIXEL_LAYER = "sem_seg_head.pixel_decoder.transformer.encoder.layers."


GENVIS: Table = [
    *((rf"detector\.backbone\.{ours}", f"backbone.{theirs}") for ours, theirs in SWIN),
    (PIXEL + r"input_proj\.(.*)", r"sem_seg_head.pixel_decoder.input_proj.\1"),
    (PIXEL + "level_embed", "sem_seg_head.pixel_decoder.transformer.level_embed"),
    (PIXEL + r"layers\.(\d)\.attention\.(.*)", PIXEL_LAYER + r"\1.self_attn.\2"),
    (PIXEL + r"layers\.(\d)\.norm\.(.*)", PIXEL_LAYER + r"\1.norm1.\2"),
    (PIXEL + r"layers\.(\d)\.ffn\.norm\.(.*)", PIXEL_LAYER + r"\1.norm2.\2"),
    (PIXEL + r"layers\.(\d)\.ffn\.(.*)", PIXEL_LAYER + r"\1.\2"),
    (PIXEL + r"lateral\.0\.0\.(.*)", r"sem_seg_head.pixel_decoder.adapter_1.\1"),
    (PIXEL + r"lateral\.0\.1\.(.*)", r"sem_seg_head.pixel_decoder.adapter_1.norm.\1"),
    (PIXEL + r"fusion\.0\.0\.(.*)", r"sem_seg_head.pixel_decoder.layer_1.\1"),
    (PIXEL + r"fusion\.0\.1\.(.*)", r"sem_seg_head.pixel_decoder.layer_1.norm.\1"),
    (PIXEL + r"mask_conv\.(.*)", r"sem_seg_head.pixel_decoder.mask_features.\1"),
    *decoder_table(FRAME + "layers", "sem_seg_head.predictor."),
    (FRAME + "query_content", "sem_seg_head.predictor.query_feat.weight"),
    (FRAME + "query_position", "sem_seg_head.predictor.query_embed.weight"),
    (FRAME + "level_embed", "sem_seg_head.predictor.level_embed.weight"),
    (FRAME + r"norm\.(.*)", r"sem_seg_head.predictor.decoder_norm.\1"),
    (FRAME + r"class_head\.(.*)", r"sem_seg_head.predictor.class_embed.\1"),
    (FRAME + r"mask_head\.(.*)", r"sem_seg_head.predictor.mask_embed.\1"),
    (r"prototypes\.input_proj\.(.*)", r"vita_module.input_proj_dec.\1"),
    (
        r"prototypes\.encoder\.(\d)\.self_attention\.attention\.qkv\.(.*)",
        r"vita_module.enc_self_attn.\1.self_attn.in_proj_\2",
    ),
    (
        r"prototypes\.encoder\.(\d)\.self_attention\.attention\.out\.(.*)",
        r"vita_module.enc_self_attn.\1.self_attn.out_proj.\2",
    ),
    (r"prototypes\.encoder\.(\d)\.self_attention\.norm\.(.*)", r"vita_module.enc_self_attn.\1.norm.\2"),
    (r"prototypes\.encoder\.(\d)\.ffn\.(.*)", r"vita_module.enc_ffn.\1.\2"),
    *decoder_table(r"prototypes\.decoder", "vita_module."),
    (r"prototypes\.query_content", "vita_module.query_feat.weight"),
    (r"prototypes\.query_position", "vita_module.query_embed.weight"),
    (r"prototypes\.token_position", "vita_module.fq_pos.weight"),
    (r"prototypes\.norm\.(.*)", r"vita_module.decoder_norm.\1"),
    (r"prototypes\.class_head\.(.*)", r"vita_module.class_embed.\1"),
    (r"prototypes\.frame_similarity\.(.*)", r"vita_module.sim_embed_frame.\1"),
    (r"prototypes\.clip_similarity\.(.*)", r"vita_module.sim_embed_clip.\1"),
    (r"mask_conv\.(.*)", r"vita_module.vita_mask_features.\1"),
    (r"visible_head\.embed\.(.*)", r"vita_module.mask_embed.\1"),
    (r"memory_key\.(.*)", r"vita_module.pre_memory_embed_k.\1"),
    (r"memory_value\.(.*)", r"vita_module.pre_memory_embed_v.\1"),
    (r"query_key\.(.*)", r"vita_module.pre_query_embed_k.\1"),
    (r"query_value\.(.*)", r"vita_module.pre_query_embed_v.\1"),
]


def foreign(state: State, table: Table) -> State:
    """Our state dict in foreign names, with fused projections."""
    fused: State = {}
    for name, value in state.items():
        if re.search(r"attention\.[kv]\.", name):
            continue
        if ".attention.q." in name:
            value = torch.cat([state[name.replace(".q.", f".{part}.")] for part in "qkv"])
            name = name.replace(".q.", ".qkv.")
        fused[name] = value
    renamed: State = {}
    for name, value in fused.items():
        template, match = next((t, m) for pattern, t in table if (m := re.fullmatch(pattern, name)))
        assert match.expand(template) not in renamed
        renamed[match.expand(template)] = value
    return renamed


def tiny_swin(window: int = 3) -> Swin:
    return Swin(embed_dim=16, depths=(2, 2, 2, 2), heads=(2, 2, 4, 4), window=window)


def tiny_resnet() -> ResNet:
    return ResNet(depths=(1, 2, 1, 1), width=8)
