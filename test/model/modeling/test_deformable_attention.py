"""Deformable attention against a naive loop."""

import math

import pytest
import torch

from a2vis_model.modeling import DeformableAttention, deformable_attention, sample_bilinear
from a2vis_model.modeling.embedding_bag_sampling import sample_by_embedding_bag


def naive_sample(value, location):
    """Read one map [C, H, W] at one (x, y) in [0, 1], zero outside."""
    channels, height, width = value.shape
    x, y = location[0].item() * width - 0.5, location[1].item() * height - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    result = torch.zeros(channels, dtype=value.dtype)
    for dy in (0, 1):
        for dx in (0, 1):
            if 0 <= x0 + dx < width and 0 <= y0 + dy < height:
                weight = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                result += weight * value[:, y0 + dy, x0 + dx]
    return result


@pytest.mark.parametrize("method", ["grid_sample", "gather"])
def test_sampling_equals_the_loop(method):
    torch.manual_seed(0)
    value = torch.randn(2, 3, 5, 7)
    # Inside, on the border, just outside and far outside.
    locations = torch.rand(2, 30, 4, 2) * 1.6 - 0.3
    locations[:, 0] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-5.0, 0.5], [0.5, 9.0]])
    sampled = sample_bilinear(value, locations, method)
    for n in range(2):
        for i in range(30):
            for p in range(4):
                expected = naive_sample(value[n], locations[n, i, p])
                torch.testing.assert_close(sampled[n, :, i, p], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("method", "gradient"), [("grid_sample", False), ("grid_sample", True), ("gather", False)])
def test_module_equals_the_loop(method, gradient):
    torch.manual_seed(1)
    dim, heads, points, sizes = 8, 2, 3, ((2, 3), (4, 6))
    module = DeformableAttention(dim=dim, heads=heads, levels=2, points=points, sampling=method)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    total = sum(h * w for h, w in sizes)
    query, value, reference = torch.randn(1, total, dim), torch.randn(1, total, dim), torch.rand(total, 2)
    cell_size = torch.tensor([(1 / w, 1 / h) for h, w in sizes])
    with torch.set_grad_enabled(gradient):
        result = module(query, value, reference, cell_size, sizes).detach()
    with torch.no_grad():
        projected = module.value_proj(value)[0].view(total, heads, dim // heads)
        offsets = module.sampling_offsets(query)[0].view(total, heads, 2, points, 2)
        weights = module.attention_weights(query)[0].view(total, heads, 2 * points).softmax(-1)
        expected = torch.zeros(total, heads, dim // heads)
        for token in range(total):
            for head in range(heads):
                start = 0
                for level, (h, w) in enumerate(sizes):
                    level_map = projected[start : start + h * w, head].T.reshape(-1, h, w)
                    for point in range(points):
                        location = reference[token] + offsets[token, head, level, point] / torch.tensor([w, h])
                        weight = weights[token, head, level * points + point]
                        expected[token, head] += weight * naive_sample(level_map, location)
                    start += h * w
        expected = module.output_proj(expected.flatten(1))
    torch.testing.assert_close(result[0], expected, atol=1e-5, rtol=1e-5)


def test_inference_on_a_cpu_equals_training_for_batches_and_far_points(monkeypatch):
    torch.manual_seed(4)
    sizes = ((3, 4), (6, 8), (12, 16))
    module = DeformableAttention(dim=16, heads=4, levels=3, points=2, sampling="grid_sample")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    total = sum(h * w for h, w in sizes)
    query, value, reference = 2 * torch.randn(3, total, 16), torch.randn(3, total, 16), torch.rand(total, 2)
    cell_size = torch.tensor([(1 / w, 1 / h) for h, w in sizes])
    given = query, value, reference, cell_size, sizes
    expected = module(*given).detach()
    bags = []
    monkeypatch.setattr(
        deformable_attention,
        "sample_by_embedding_bag",
        lambda *arguments: bags.append(len(arguments[0])) or sample_by_embedding_bag(*arguments),
    )
    with torch.inference_mode():
        torch.testing.assert_close(module(*given), expected, atol=1e-4, rtol=1e-4)
    assert bags == [3]
    module(*given)
    exported = torch.export.export(module.eval().requires_grad_(False), given, strict=False)
    assert bags == [3], "training and export sample maps"
    assert "embedding_bag" not in str(exported.graph)


def test_gather_has_the_gradient_of_grid_sample():
    torch.manual_seed(2)
    gradients = []
    for method in ("grid_sample", "gather"):
        torch.manual_seed(3)
        value = torch.randn(1, 2, 4, 4, requires_grad=True)
        locations = torch.rand(1, 6, 2, 2, requires_grad=True)
        sample_bilinear(value, locations, method).square().sum().backward()
        gradients.append((value.grad, locations.grad))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
