"""Thresholds of tracks that a weight file recommends: stored, shown, used where nothing is said, refused if broken."""

import json
from pathlib import Path

import pytest
import yaml
from networks import tiny_config, tiny_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from a2vis_model import CheckpointError, ConfigError, TrackSettings, load_weights, save_weights, shipped_weights
from a2vis_model import shipped as shipped_module
from a2vis_model.cli import main
from a2vis_model.commands import evaluate as evaluate_module
from a2vis_model.machine import file_hash
from a2vis_model.weights import read_recommended, read_track_settings

SURE = {"start_score": 0.6, "keep_score": 0.4}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny network that recommends thresholds."""
    path = tmp_path / "sure.safetensors"
    save_weights(path, tiny_model(tiny_config()), tiny_config(), recommended=SURE)
    return path


def plain(folder: Path) -> Path:
    """A tiny network that recommends nothing."""
    save_weights(folder / "plain.safetensors", tiny_model(tiny_config()), tiny_config())
    return folder / "plain.safetensors"


def test_a_file_says_what_suits_it_and_others_have_the_defaults(saved: Path, tmp_path: Path) -> None:
    assert read_recommended(saved) == SURE
    assert read_track_settings(saved) == TrackSettings(start_score=0.6, keep_score=0.4)
    save_weights(saved, tiny_model(tiny_config()), tiny_config(), recommended={"idle_frames": 5})
    assert read_track_settings(saved) == TrackSettings(idle_frames=5)
    assert load_weights(saved)[1] == tiny_config(), "the network is the same"
    assert read_recommended(plain(tmp_path)) == {}
    assert read_track_settings(tmp_path / "plain.safetensors") == TrackSettings()


def test_one_threshold_alone_leaves_the_other_at_its_default(tmp_path: Path) -> None:
    save_weights(tmp_path / "one.safetensors", tiny_model(tiny_config()), tiny_config(), recommended={"start_score": 1})
    assert read_track_settings(tmp_path / "one.safetensors") == TrackSettings(start_score=1.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"min_area": 3}, "unknown threshold 'min_area'; known are start_score, keep_score, idle_frames"),
        ({"idle_frames": 0}, "idle_frames=0; expected a number of frames, 1 to 1000000"),
        ({"idle_frames": 1e300}, r"idle_frames=1e\+300; expected a number of frames, 1 to 1000000"),
        ({"idle_frames": 2.5}, "idle_frames=2.5; expected a number of frames, 1 to 1000000"),
        ({"idle_frames": 1e400}, "idle_frames=inf; expected a number of frames, 1 to 1000000"),
        ({"start_score": 1.5}, "start_score=1.5; expected a probability"),
        ({"start_score": True}, "start_score=True; expected a probability"),
        ({"keep_score": float("nan")}, "keep_score=nan; expected a probability"),
        ({"start_score": 0.1}, "keep_score=0.2 is over start_score=0.1: a track would end as it starts"),
        ([0.6], "expected names and values of thresholds, found list"),
    ],
)
def test_what_cannot_be_used_is_neither_stored_nor_read(saved: Path, wrong: object, words: str) -> None:
    before = saved.read_bytes()
    with pytest.raises(ConfigError, match=words):
        save_weights(saved, tiny_model(tiny_config()), tiny_config(), recommended=wrong)  # type: ignore[arg-type]
    assert saved.read_bytes() == before
    rewrite(saved, json.dumps(wrong))
    with pytest.raises(CheckpointError, match=rf"sure.safetensors: its thresholds .*{words}.*export it again"):
        read_track_settings(saved)


@pytest.mark.parametrize("text", ["", "{", "0", "[" * 100_000, '{"start_score": 1e999}'])
def test_damaged_words_are_one_clear_error(saved: Path, text: str) -> None:
    rewrite(saved, text)
    with pytest.raises(CheckpointError, match="thresholds of tracks are unusable") as caught:
        read_recommended(saved)
    assert "\n" not in str(caught.value)


def rewrite(path: Path, text: str) -> None:
    """The file again with another recommendation."""
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    save_file(load_file(path), path, metadata={**metadata, "tracks": text})


def test_one_command_sets_it_and_keeps_the_tensors(tmp_path: Path) -> None:
    source, target, again = plain(tmp_path), tmp_path / "set.safetensors", tmp_path / "again.safetensors"
    command = ["import-weights", str(source), "--start-score", "0.6", "--keep-score", "0.4"]
    assert main([*command, "--output", str(target)]) == 0
    assert read_recommended(target) == SURE
    assert all((tensor == load_file(source)[name]).all() for name, tensor in load_file(target).items())
    # What is not named stays.
    assert main(["import-weights", str(target), "--keep-score", "0.3", "--output", str(again)]) == 0
    assert read_recommended(again) == {"start_score": 0.6, "keep_score": 0.3}
    assert main(["import-weights", str(again), "--idle-frames", "7", "--output", str(again)]) == 0
    assert read_recommended(again) == {"start_score": 0.6, "keep_score": 0.3, "idle_frames": 7}
    assert (
        main(["import-weights", str(source), "--start-score", "2", "--output", str(tmp_path / "no.safetensors")]) == 2
    )
    assert not (tmp_path / "no.safetensors").exists()


def test_the_list_of_weights_shows_it(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"sha256": file_hash(saved), "about": "nothing", "card": "card.md", "measured": {}}
    (saved.parent / "index.yaml").write_text(yaml.safe_dump({"sure": entry}))
    monkeypatch.setattr(shipped_module, "_FOLDER", saved.parent)
    shipped_weights.cache_clear()
    try:
        assert main(["weights"]) == 0
    finally:
        shipped_weights.cache_clear()
    assert "tracks    start_score 0.6, keep_score 0.4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], SURE),
        (["--keep-score", "0.1"], SURE | {"keep_score": 0.1}),
        (["--start-score", "0.9", "--keep-score", "0.5"], SURE | {"start_score": 0.9, "keep_score": 0.5}),
        (["--idle-frames", "9"], SURE | {"idle_frames": 9}),
    ],
)
def test_evaluation_takes_it_where_no_option_is_given(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: dict[str, float]
) -> None:
    class FoundError(Exception):
        pass

    def run(evaluation: evaluate_module.Evaluation, *_: object, **__: object) -> None:
        tracks = evaluation.prediction.tracks
        raise FoundError({name: getattr(tracks, name) for name in ("start_score", "keep_score", "idle_frames")})

    monkeypatch.setattr(evaluate_module, "run_evaluation", run)
    given = ["--data", str(tmp_path), "--output", str(tmp_path / "out"), "--weights", str(saved), *options]
    with pytest.raises(FoundError) as caught:
        main(["evaluate", *given])
    assert caught.value.args[0] == {"idle_frames": 100} | expected
