"""What only a GPU can show; skipped without one."""

import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import freeze
from a2vis_model.backends import prepare_backend
from a2vis_model.backends.choice import backend_obstacle

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("backend", ["eager", "compile", "tensorrt"])
def test_it_passes_the_gate_and_keeps_its_outputs(backend, precision, tmp_path):
    config = tiny_config()
    model = freeze(tiny_model(config).cuda())
    obstacle = backend_obstacle(model, backend)
    if obstacle is not None:
        pytest.skip(obstacle)
    ready = prepare_backend(model, config, backend=backend, precision=precision, cache=tmp_path / "engines")
    assert (ready.gate is None) == ((backend, precision) == ("eager", "fp32"))
    if ready.gate is None:
        return
    images = torch.randn(2, 1, 1, 3, config.input_height, config.input_width, device="cuda")
    with torch.inference_mode():
        first = ready.network.extract(images[0])
        kept = first.mask_features.clone()
        second = ready.network.extract(images[1])
    # With CUDA graphs every run writes to the same memory.
    torch.testing.assert_close(first.mask_features, kept, atol=0, rtol=0)
    assert not torch.equal(second.mask_features, kept)
