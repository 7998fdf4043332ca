"""The loop's promises: a run that is interrupted, ends early or fails; and what a run starts from."""

import dataclasses
import math
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from networks import tiny_config, tiny_model
from training_runs import CPU, Trainer, batch_of, dataset, moving_squares, run_python

from a2vis_model import (
    A2VISError,
    CheckpointError,
    VideoNetwork,
    load_weights,
)
from a2vis_model.training import (
    Checkpoint,
    OptimiserSettings,
    initialise,
    warm_start,
)
from a2vis_model.training.loop import BEST, CHECKPOINT, LAST
from a2vis_model.training.sequences import load_batches


def assert_same_state(a: Checkpoint, b: Checkpoint) -> None:
    assert a.step == b.step
    for name, value in a.model.items():
        assert torch.equal(value, b.model[name]), name
    for index, state in a.optimiser["state"].items():
        assert all(torch.equal(value, b.optimiser["state"][index][key]) for key, value in state.items())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run of four steps without interruption."""
    trainer = Trainer(tmp_path_factory.mktemp("finished"))
    assert trainer.run()
    return trainer


def stop(number: int) -> Iterator[dict[str, float]]:
    """Scores of validations, during the second of which this process and its loaders get a signal."""
    yield {"amodal": 0.1}
    for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        assert process is not None
        os.kill(process, number)
    yield {"amodal": 0.2}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_goes_on_bit_for_bit(finished: Trainer, tmp_path: Path, number: int) -> None:
    trainer = Trainer(tmp_path)
    scores = stop(number)
    before = signal.getsignal(number)
    assert not trainer.run(validate=lambda _model: next(scores), workers=1)
    assert signal.getsignal(number) is before
    assert trainer.checkpoint.step == 2
    assert trainer.checkpoint.best == 0.2
    again = Trainer(tmp_path)  # as a new process would have it, from another start
    torch.nn.init.normal_(again.model.prototypes.query_content)  # type: ignore[arg-type]
    assert again.run(resume=True)
    assert_same_state(again.checkpoint, finished.checkpoint)


def test_an_error_ends_the_loader_processes_too(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from training_runs import Trainer
def fail(model):
    raise RuntimeError("nobody expects this")
Trainer(Path({str(tmp_path)!r})).run(validate=fail, workers=1)
"""
    (result,) = run_python(code, processes=1)
    assert result.returncode == 1
    assert result.stderr.strip().endswith("RuntimeError: nobody expects this")


def test_run_pauses_when_its_time_is_up(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    assert not trainer.run(max_minutes=0.0)
    assert not trainer.run(max_minutes=0.0, resume=True)
    assert trainer.checkpoint.step == 2


def test_finished_run_has_nothing_left_to_do(finished: Trainer) -> None:
    modified = (finished.output / CHECKPOINT).stat().st_mtime_ns
    assert finished.run(resume=True)
    assert (finished.output / CHECKPOINT).stat().st_mtime_ns == modified
    model, config = load_weights(finished.output / LAST)
    assert config == finished.model_config
    name = "prototypes.query_content"
    assert torch.equal(model.state_dict()[name], finished.checkpoint.model[name])


def test_runs_are_not_mixed_up(finished: Trainer) -> None:
    with pytest.raises(A2VISError, match="--resume"):
        finished.run()
    other = Trainer(finished.output, steps=9, optimiser=OptimiserSettings(learning_rate=1.0))
    with pytest.raises(CheckpointError, match=r"another steps, optimiser\.learning_rate"):
        other.run(resume=True)


def test_runs_on_other_data_are_not_mixed_up(
    finished: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = finished.checkpoint
    assert saved.origin == {"data": ["squares"], "validation": None}
    dataclasses.replace(saved, origin={"data": ["circles"], "validation": "v"}).save(tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match=r"belongs to a run with another data, validation; give the same"):
        Trainer(tmp_path).run(resume=True)
    content = torch.load(finished.output / CHECKPOINT, weights_only=True)
    del content["origin"]  # as earlier versions wrote it
    torch.save(content, tmp_path / CHECKPOINT)
    capsys.readouterr()
    assert Trainer(tmp_path).run(resume=True)
    assert f"{tmp_path / CHECKPOINT}: of an earlier version, which did not note its data" in capsys.readouterr().err


def test_best_weights_are_kept(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    scores = iter([0.1, 0.5, 0.3, 0.2])
    kept = {}

    def validate(model: VideoNetwork) -> dict[str, float]:
        score = next(scores)
        kept[score] = model.state_dict()["prototypes.query_content"].clone()
        return {"visible": score, "amodal": score}

    trainer.run(validate=validate)
    best, _ = load_weights(tmp_path / BEST)
    assert torch.equal(best.state_dict()["prototypes.query_content"], kept[0.5])
    assert trainer.checkpoint.best == 0.5
    assert list((tmp_path / "tensorboard").glob("events*")) or not has_tensorboard()


def has_tensorboard() -> bool:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        return False
    return True


def test_nan_stops_before_it_spreads_and_leaves_the_batch(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.run(max_minutes=0.0)
    saved = trainer.checkpoint
    poisoned = dataclasses.replace(
        saved, model={name: value * math.nan if "query" in name else value for name, value in saved.model.items()}
    )
    poisoned.save(tmp_path / CHECKPOINT)
    with pytest.raises(A2VISError, match=r"step 2: .*class.* not finite.*bad_batch_2_0\.pt.*--learning-rate"):
        trainer.run(resume=True)
    assert trainer.checkpoint.step == 1
    content = torch.load(tmp_path / "bad_batch_2_0.pt", weights_only=True)
    with load_batches(dataset(6), range(1, 2), batch=2, rank=0, world_size=1, workers=0, device=CPU) as batches:
        assert torch.equal(content["images"], next(batches).images)
    assert math.isnan(content["losses"]["class"])


def test_checkpoint_is_replaced_whole_or_not_at_all(
    finished: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CHECKPOINT
    finished.checkpoint.save(path)

    def fail(content: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        dataclasses.replace(finished.checkpoint, step=99).save(path)
    assert Checkpoint.load(path).step == 4


@pytest.mark.parametrize("content", [b"", b"nonsense", {"model": {}}, {"format": "a2vis-training/1"}])
def test_unusable_checkpoint_is_named(tmp_path: Path, content: bytes | dict[str, object]) -> None:
    path = tmp_path / CHECKPOINT
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=str(path)):
        Checkpoint.load(path)


def test_initialisation_takes_what_fits(finished: Trainer) -> None:
    other = tiny_model(tiny_config("vita", classes=("a", "b")), seed=1)
    before = other.state_dict()["prototypes.class_head.weight"].clone()
    text = initialise(other, finished.output / LAST)
    state, source = other.state_dict(), finished.checkpoint.model
    assert torch.equal(state["prototypes.query_content"], source["prototypes.query_content"])
    assert torch.equal(state["prototypes.class_head.weight"], before)
    assert "left as they were: parts of detector, prototypes" in text


def test_warm_start_lets_prototypes_read_masks_as_the_detector_does() -> None:
    model = tiny_model(tiny_config(samh=dataclasses.replace(tiny_config().samh, residual=True)))
    warm_start(model)
    images = batch_of([moving_squares()], [0]).normalised()
    with torch.no_grad():
        output = model.detector(images[0])
        features = model.extract(images)
        masks = model.visible_head(output.queries[-1], features.mask_features)  # type: ignore[operator]
        assert torch.allclose(masks[:, 0], model.detector.detections(output).masks, atol=1e-4)
