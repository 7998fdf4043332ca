"""What files and messages say cannot pass for lines of the log, steer a terminal or fill a disk."""

import logging

import pytest
from hostile_text import HOSTILE, is_harmless

from a2vis_model.cli import main
from a2vis_model.data.problems import DataError, DataProblem, ProblemLog
from a2vis_model.errors import A2VISError, CheckpointError, printable


def test_control_characters_are_written_out_and_the_rest_is_kept() -> None:
    assert printable("caméra 鱼 'a'") == "caméra 鱼 'a'"
    assert printable("a\nb\x1b[0m") == r"a\nb\x1b[0m"
    assert printable("x" * 50, 10) == "x" * 10 + "..."
    assert is_harmless(printable(HOSTILE * 1000))


@pytest.mark.parametrize("kind", [A2VISError, CheckpointError])
def test_an_error_is_one_line_whatever_it_names(kind: type[A2VISError]) -> None:
    assert is_harmless(str(kind(f"{HOSTILE}.safetensors: no such file")))
    assert is_harmless(str(kind("x" * 2_000_000)))


def test_a_problem_of_a_data_set_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    problem = DataProblem(HOSTILE, HOSTILE, HOSTILE)
    with caplog.at_level(logging.WARNING):
        ProblemLog().report(problem)
    assert is_harmless(caplog.messages[0])
    with pytest.raises(DataError) as caught:
        ProblemLog(strict=True).report(problem)
    assert is_harmless(str(caught.value))
    assert caught.value.problem == problem


def test_a_command_names_a_hostile_file_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "no\n\x1b[31mfile.mp4", "--output", "/dev/null/x"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_what_ends_an_epoch_is_quoted_and_cut() -> None:
    from a2vis_ros.stream.epochs import EpochGuard, FrameKey
    from a2vis_ros.stream.frames import Stamp

    guard = EpochGuard(1.0)
    guard.check(FrameKey(Stamp(1, 0), 4, 4, "rgb8", "camera"))
    for kind, frame_id in (("rgb8", HOSTILE * 100_000), (HOSTILE * 100_000, HOSTILE * 100_000)):
        assert is_harmless(guard.check(FrameKey(Stamp(1, 0), 4, 4, kind, frame_id)) or "\n")
