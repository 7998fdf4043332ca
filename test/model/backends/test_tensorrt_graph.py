"""How engines of TensorRT are given their tensors, with a TensorRT that is made up: this needs no GPU."""

import contextlib
import types

import pytest
import torch

from a2vis_model.backends.tensorrt import TensorRTGraph

TENSORS = {
    "image": ("input", "HALF", (1, 3)),
    "seen": ("input", "BOOL", (2,)),
    **{f"output{i}": ("output", "FLOAT", (i,)) for i in (10, *range(10))},
}


class FakeEngine:
    """An engine of two inputs and eleven outputs, which it names in an order of its own."""

    num_io_tensors = len(TENSORS)

    def get_tensor_name(self, index):
        return list(TENSORS)[index]

    def get_tensor_mode(self, name):
        return TENSORS[name][0]

    def get_tensor_dtype(self, name):
        return TENSORS[name][1]

    def get_tensor_shape(self, name):
        return list(TENSORS[name][2])

    def create_execution_context(self):
        return FakeContext()


class FakeContext:
    status = True
    addresses: dict

    def __init__(self):
        self.addresses = {}
        FakeContext.last = self

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        FakeStream.story.append(f"run on {stream}")
        return FakeContext.status


class FakeStream:
    story: list

    def __init__(self, cuda_stream):
        self.cuda_stream = cuda_stream

    def wait_stream(self, other):
        FakeStream.story.append(f"{self.cuda_stream} waits for {other.cuda_stream}")


def fake_tensorrt(engine):
    return types.SimpleNamespace(
        Logger=type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None}),
        Runtime=lambda logger: types.SimpleNamespace(deserialize_cuda_engine=lambda content: engine),
        DataType=types.SimpleNamespace(FLOAT="FLOAT", HALF="HALF", BOOL="BOOL"),
        TensorIOMode=types.SimpleNamespace(INPUT="input", OUTPUT="output"),
    )


@pytest.fixture(autouse=True)
def streams(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: FakeStream(0))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(77))
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    FakeStream.story = []


@pytest.fixture
def graph():
    return TensorRTGraph(fake_tensorrt(FakeEngine()), b"engine", torch.device("cpu"))


def test_tensors_are_given_in_the_graphs_order(graph):
    image, seen = torch.zeros(1, 3).half(), torch.zeros(2, dtype=torch.bool)
    results = graph(image, seen)
    assert [tuple(result.shape) for result in results] == [(i,) for i in range(11)], "output10 comes after output9"
    assert {result.dtype for result in results} == {torch.float32}
    assert FakeStream.story == ["77 waits for 0", "run on 77", "0 waits for 77"], "never on the default stream"
    addresses = FakeContext.last.addresses
    assert addresses["image"] == image.data_ptr()
    assert addresses["seen"] == seen.data_ptr()
    assert addresses["output10"] == results[10].data_ptr()
    # What an earlier run gave is not written again.
    assert graph(image, seen)[10].data_ptr() != results[10].data_ptr()


def test_wrong_shapes_and_failures_are_said(graph, monkeypatch):
    seen = torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"image is \[1, 4\], the engine was built for \[1, 3\]"):
        graph(torch.zeros(1, 4).half(), seen)
    monkeypatch.setattr(FakeContext, "status", False)
    with pytest.raises(RuntimeError, match="could not run the engine"):
        graph(torch.zeros(1, 3).half(), seen)


def test_an_engine_that_does_not_load_is_said():
    with pytest.raises(RuntimeError, match="cannot load this engine"):
        TensorRTGraph(fake_tensorrt(None), b"engine", torch.device("cpu"))
