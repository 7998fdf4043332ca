"""Loader processes delete nothing of the process that they were forked from."""

import dataclasses
import gc
import os
from pathlib import Path

from training_runs import CPU, dataset

from a2vis_model.training import SequenceDataset
from a2vis_model.training.augmentation import TrainingSample
from a2vis_model.training.sequences import load_batches


class Decoder:
    """As a video decoder is: part of a cycle, so that the collector deletes it, and to be deleted where it was made."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._itself = self

    def __del__(self) -> None:
        with open(self._log, "a", encoding="utf-8") as log:
            log.write(f"{os.getpid()}\n")


HELD: list[Decoder] = []


class Forgetful(SequenceDataset):
    """Lets go of its decoders with every sequence, and has all garbage deleted."""

    def __getitem__(self, index: int) -> TrainingSample:
        HELD.clear()
        gc.collect()
        return super().__getitem__(index)


def test_garbage_of_the_parent_is_deleted_in_the_parent_alone(tmp_path: Path) -> None:
    log, plain = tmp_path / "log", dataset(4)
    data = Forgetful(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain) if field.init})
    HELD.append(Decoder(log))
    # One that is garbage before the processes are there, and one that becomes it in them.
    Decoder(log)
    with load_batches(data, range(3), batch=1, rank=0, world_size=1, workers=2, device=CPU) as batches:
        assert len(list(batches)) == 3
    assert log.read_text(encoding="utf-8").split() == [str(os.getpid())]
    HELD.clear()
    gc.collect()
    assert log.read_text(encoding="utf-8").split() == [str(os.getpid())] * 2
