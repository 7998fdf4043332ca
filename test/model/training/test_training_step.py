"""What makes a training step cheap on a CPU changes nothing of what it computes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from networks import tiny_config, tiny_model
from training_runs import CPU, batch_of, moving_squares, training

from a2vis_model.modeling import freeze, split_clips
from a2vis_model.modeling.backbones.norm import ConvNorm, FrozenBatchNorm2d
from a2vis_model.modeling.layers import Attention
from a2vis_model.training import make_objective
from a2vis_model.training.optimisation import select_trainable, set_mode


def test_cells_counted_in_packed_bytes_are_the_shares_of_the_masks() -> None:
    batch = batch_of([moving_squares(), moving_squares(hidden=slice(2, 4))], range(4))
    batch.packed.random_(256)
    for kind in ("visible", "amodal"):
        pixels = batch.masks(kind)
        expected = F.avg_pool2d(pixels.flatten(0, 1).float(), 4).flatten(2).unflatten(0, pixels.shape[:2])
        assert torch.equal(batch.cells(kind), expected)


def test_frozen_detector_gives_the_losses_and_gradients_of_the_models_own() -> None:
    config = tiny_config()
    model = tiny_model(config)
    select_trainable(model, "video")
    set_mode(model)
    batch = batch_of([moving_squares()], range(6))
    names = [name for name, _ in model.detector.named_parameters()]
    results = []
    for frozen in (True, False):
        objective = make_objective(model, config, training("video"), CPU)
        assert objective.detector is not model.detector
        if not frozen:
            objective.detector = model.detector
        torch.manual_seed(0)
        losses = objective(batch)
        model.zero_grad()
        sum(losses.values()).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((losses, gradients))
    assert [name for name, _ in model.detector.named_parameters()] == names
    (losses, gradients), (own_losses, own_gradients) = results
    torch.testing.assert_close(losses, own_losses, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradients, own_gradients, rtol=1e-3, atol=1e-4)


def test_freezing_a_part_folds_its_norms_and_leaves_the_original() -> None:
    block = ConvNorm(in_channels=3, out_channels=4, kernel=3, activation=torch.nn.ReLU6())
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.5, 2)
    part = freeze(copy.deepcopy(block))
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in part.modules())
    assert isinstance(block.norm, FrozenBatchNorm2d)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(part(x), block(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", [torch.nn.Identity(), torch.nn.ReLU(), torch.nn.ReLU6(), torch.nn.SiLU()])
@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (1, 2, 1), (3, 2, 1), (5, 1, 8)])
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_trained_convolution_takes_its_norm_and_activation_in_one_pass(
    batch: int, kernel: int, stride: int, groups: int, activation: torch.nn.Module
) -> None:
    """Equal, with its gradients, to the parts one after the other in double precision."""
    torch.manual_seed(0)
    block = ConvNorm(
        in_channels=8,
        out_channels=8,
        kernel=kernel,
        stride=stride,
        groups=groups,
        activation=activation,
        same_padding=True,
    )
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.05, 0.2)
    image = torch.randn(batch, 8, 6, 10).contiguous(memory_format=torch.channels_last)
    results = []
    for part, x in ((block, image), (copy.deepcopy(block).double(), image.double())):
        x.requires_grad_()
        y = part(x) if part is block else part.activation(part.norm(part.conv(part.pad(x))))
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        results.append([tensor.double() for tensor in (y.detach(), x.grad, part.conv.weight.grad)])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_a_trained_convolution_under_autocast_gives_maps_of_its_type() -> None:
    block = ConvNorm(in_channels=3, out_channels=4, kernel=3, activation=torch.nn.ReLU6())
    with torch.autocast("cpu", torch.bfloat16):
        assert block(torch.randn(2, 3, 8, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_under_autocast_is_computed_in_fp32(with_bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = Attention(dim=16, heads=2)
    query, key = torch.randn(1, 5, 16), torch.randn(1, 7, 16)
    bias = torch.where(torch.rand(1, 5, 7) < 0.3, -1e4, 0.0) if with_bias else None
    seen: list[torch.dtype] = []
    fused = F.scaled_dot_product_attention

    def watched(q: torch.Tensor, *others: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
        seen.append(q.dtype)
        return fused(q, *others, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    expected = attention(query, key, key, bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = attention(query, key, key, bias)
        with torch.no_grad():
            attention(query, key, key, bias)
    assert seen == [torch.float32, torch.float32, torch.bfloat16]
    torch.testing.assert_close(result.float(), expected, rtol=0.05, atol=0.05)


def test_clips_are_cut_as_slices_are_and_so_are_their_gradients() -> None:
    model = tiny_model(tiny_config())
    features = model.extract(batch_of([moving_squares(), moving_squares()], range(6)).normalised())
    for k, clip in enumerate(split_clips(features, 2)):
        for part, whole in zip(clip[:4], features[:4], strict=True):
            assert torch.equal(part, whole[:, 3 * k : 3 * k + 3])
            assert part.is_contiguous()
    maps = features.mask_features.detach().requires_grad_()
    second = split_clips(features._replace(mask_features=maps), 2)[1]
    (gradient,) = torch.autograd.grad(second.mask_features.sum(), maps)
    assert not gradient[:, :3].any()
    assert gradient[:, 3:].eq(1).all()
