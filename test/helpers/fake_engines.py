"""Engines that are made up: their files say which graph to run, and eager runs it."""

import pytest

from a2vis_model.backends import choice, prepare
from a2vis_model.backends import engines as engines_module
from a2vis_model.export import ClipGraph, FrameGraph


class FakeEngines:
    """Takes the place of Inductor.

    Set `wrong` and engines compute something else, `broken` and they cannot be built.
    """

    suffix = ".fake"
    fused_attention = True
    sampling = None

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wrong = self.broken = False
        self.version = "1"
        self.built = []
        self._graphs = {}
        monkeypatch.setitem(engines_module.ENGINES, "compile", self)
        monkeypatch.setattr(choice, "_compile_obstacle", lambda device: None)
        monkeypatch.setattr(prepare, "export_graphs", lambda model, *_, **__: (FrameGraph(model), ClipGraph(model)))

    def requirements(self):
        return {"fake": self.version}

    def build(self, program, inputs, path):
        if self.broken:
            raise RuntimeError("ld: cannot find -lcuda\nand 200 lines more")
        self.built.append(path.stem)
        self._graphs[path.stem] = program
        path.write_text(path.stem)

    def load(self, path, inputs):
        graph = self._graphs[path.read_text()]
        if self.wrong and path.stem == "frame":
            return lambda image: graph(1.2 * image)
        return graph
