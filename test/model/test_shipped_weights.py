"""The weights that ship: found by name, described, and refused where they are damaged."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from networks import tiny_config, tiny_model
from paths import ROOT

from a2vis_model import CheckpointError, load_config, load_weights, save_weights, shipped_weights
from a2vis_model import shipped as module
from a2vis_model.cli import main
from a2vis_model.machine import file_hash
from a2vis_model.render.classes import FISH_NAMES
from a2vis_model.shipped import DEFAULT_WEIGHTS, find_weights
from a2vis_model.training import initialise
from a2vis_model.weights import read_config

PETS_AND_VEHICLES = ("person", "bicycle", "car", "motorcycle", "bus", "truck", "cat", "dog")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of what ships, holding a tiny network."""
    folder = tmp_path / "checkpoints"
    save_weights(folder / "tiny.safetensors", tiny_model(tiny_config()), tiny_config())
    digest = file_hash(folder / "tiny.safetensors")
    entry = {"sha256": digest, "about": "nothing", "card": "card.md", "measured": {}}
    (folder / "index.yaml").write_text(yaml.safe_dump({"tiny": entry}))
    monkeypatch.setattr(module, "_FOLDER", folder)
    shipped_weights.cache_clear()
    yield folder
    shipped_weights.cache_clear()


def test_every_set_that_ships_is_whole_and_described() -> None:
    names = set(shipped_weights())
    assert names == {"onboard", "onboard-fishbowl"}
    assert {path.stem for path in (ROOT / "a2vis_model" / "checkpoints").glob("*.safetensors")} == names
    assert {path.stem for path in (ROOT / "docs" / "model_cards").glob("*.md")} == names
    assert DEFAULT_WEIGHTS == "onboard"
    for name, weights in shipped_weights().items():
        assert (ROOT / weights.card).is_file()
        _, config = load_weights(name)  # compares the hash
        made = load_config("onboard", classes=config.classes)
        if name == "onboard-fishbowl":
            # The fish are older than the preset's size and than the name of their variant.
            made = load_config("onboard", "a2vis-as-printed", classes=config.classes, input_height=256, input_width=384)
        assert config == replace(made, name=config.name)
    assert read_config("onboard").classes == load_config("onboard").classes == PETS_AND_VEHICLES
    assert read_config("onboard-fishbowl").classes == FISH_NAMES


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.startswith("onboard (default): people, vehicles and pets")
    assert ", ".join(PETS_AND_VEHICLES) in first
    assert "docs/model_cards/onboard.md" in first
    assert second.startswith("onboard-fishbowl: ")
    measured = shipped_weights()["onboard-fishbowl"].measured["6 clips in FISHBOWL's format, validation"]
    assert f"amodal AP {measured['amodal AP']:g}, HOTA {measured['HOTA']:g}" in second
    assert "11.3 MB" in second


def test_names_paths_and_neither(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weights("tiny") == package / "tiny.safetensors"
    assert load_weights("tiny")[1] == read_config("tiny") == tiny_config()
    assert "loaded from onboard" in initialise(tiny_model(tiny_config(), seed=1), "tiny")
    monkeypatch.chdir(tmp_path)
    shutil.copy(package / "tiny.safetensors", "tiny")
    assert find_weights("tiny").parent == package
    assert find_weights("./tiny") == Path("tiny")
    assert load_weights(package / "tiny.safetensors")[1] == tiny_config()
    for wrong in ("huge", "huge.safetensors", "", tmp_path):
        with pytest.raises(CheckpointError, match=r"no such file; give a .* the name of weights that ship: tiny$"):
            find_weights(wrong)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_damaged_file_is_one_clear_error(package: Path, by_name: bool) -> None:
    path = package / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # of a tensor, which would load
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tiny.safetensors: damaged.*reinstall the package") as caught:
        load_weights("tiny" if by_name else path)
    assert "\n" not in str(caught.value)
    other = shutil.copy(path, package.parent / "tiny.safetensors")
    load_weights(other)  # of the user's own


def test_what_is_missing_from_the_package_is_said(package: Path) -> None:
    (package / "tiny.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing from the package; reinstall it"):
        load_weights("tiny")


@pytest.mark.parametrize("content", [None, "", "[tiny]", "tiny: 3", "tiny: {sha256: a}", "{", "a: {b: 1}"])
def test_a_broken_index_is_one_error(package: Path, content: str | None) -> None:
    index = package / "index.yaml"
    index.unlink() if content is None else index.write_text(content)
    shipped_weights.cache_clear()
    with pytest.raises(CheckpointError, match=r"index.yaml: missing or broken \(.*reinstall the package") as caught:
        load_weights("tiny")
    assert "\n" not in str(caught.value)


def test_the_node_runs_the_default_and_the_demo_what_knows_its_fish(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = pytest.importorskip("a2vis_ros.stream.parameters")
    assert parameters.Settings.defaults().model.weights == DEFAULT_WEIGHTS
    pytest.importorskip("rclpy")
    pytest.importorskip("a2vis_ros.msg")
    from a2vis_ros.tools import demo

    ran = []
    monkeypatch.setattr(demo, "run", lambda _output, weights, *, world, **_rest: ran.append((world, weights)))
    assert demo.main([]) == 0
    assert ran == [("aquarium", "onboard-fishbowl")]
    assert demo.main(["--weights", "onboard-fishpond"]) == 2


def test_loading_weights_imports_no_compiler(tmp_path: Path) -> None:
    """Every start of a robot would wait for it, with weights that ship or with others."""
    save_weights(tmp_path / "own.safetensors", tiny_model(tiny_config()), tiny_config())
    code = "import sys, a2vis_model; [a2vis_model.load_weights(w) for w in sys.argv[1:]]; print(*sys.modules)"
    command = [sys.executable, "-c", code, "onboard", str(tmp_path / "own.safetensors")]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(loaded)
