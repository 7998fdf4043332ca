"""Both graphs convert to TensorRT, by the real converters and the real builder, each check in its own process."""

import os
import subprocess
import sys

import pytest
import tensorrt_without_gpu
from paths import HELPERS

CHECK = HELPERS / "conversion_check.py"

MISSING = tensorrt_without_gpu.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def check(network, precision):
    return subprocess.run(
        [sys.executable, str(CHECK), network, precision],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=900,
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("network", ["small", "onboard"])
def test_both_graphs_convert_to_one_engine_each(network, precision):
    result = check(network, precision)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    for graph in ("frame", "clip"):
        assert f"{network} {precision} {graph}: converts" in result.stdout


def test_what_cannot_be_converted_fails():
    result = check("known-bad", "fp32")
    assert result.returncode == 1, result.stdout + result.stderr[-2000:]
    assert "does not convert" in result.stdout
    assert "nonzero" in result.stdout.lower() or "non_zero" in result.stdout.lower(), result.stdout
