"""Several processes train one network."""

from pathlib import Path

from training_runs import run_python

from a2vis_model.training import (
    Checkpoint,
)
from a2vis_model.training.loop import CHECKPOINT


def test_processes_train_the_same_network(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import torch
from training_runs import CPU, Trainer
from a2vis_model.training.distributed import average_gradients, process_group, rank
with process_group(CPU):
    value, unused = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)
    if rank() == 0:
        (value * torch.tensor([1.0, 3.0])).sum().backward()
    else:
        unused.sum().backward()
    average_gradients([value, unused])
    trainer = Trainer(Path({str(tmp_path)!r}), steps=2)
    trainer.run()
    print(value.grad.tolist(), unused.grad.tolist(), sum(p.double().sum().item() for p in trainer.model.parameters()))
"""
    results = run_python(code, processes=2)
    assert [result.returncode for result in results] == [0, 0], results[0].stderr + results[1].stderr
    first, second = (result.stdout.strip().splitlines()[-1] for result in results)
    assert first == second
    assert first.startswith("[0.5, 1.5] [0.5]")
    assert Checkpoint.load(tmp_path / CHECKPOINT).step == 2
