"""A file of the localizer's parameters, read without ROS."""

from pathlib import Path

import pytest
from paths import ROOT

from a2vis_ros.programs.parameter_table import ParameterError
from a2vis_ros.space.parameters import default_values, localizer_settings, read_values


def written(folder: Path, text: str) -> Path:
    path = folder / "parameters.yaml"
    path.write_text(text)
    return path


def test_the_file_that_comes_along_says_the_defaults() -> None:
    assert read_values(ROOT / "config" / "object_localizer.yaml") == default_values()


def test_later_sections_go_before_earlier_ones(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        /**: {ros__parameters: {use_sim_time: true, outline_std: 0.3, hidden_std: 0.2, depth_std_per_m2: 0.01}}
        object_localizer: {ros__parameters: {outline_std: 0.0, max_range_m: 20}}
        """,
    )
    settings = localizer_settings(read_values(path))
    assert (settings.placement.outline_std, settings.placement.hidden_std) == (0.0, 0.2)
    assert settings.placement.depth_noise.quadratic == 0.01
    assert settings.placement.max_range == 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/**: {ros__parameters: {outline_sdt: 0.1}}", "object_localizer has no parameter 'outline_sdt'"),
        ("/**: {ros__parameters: {outline_std: 2.0}}", "outline_std=2.0 is not between 0 and 1"),
        ("/**: {ros__parameters: {outline_std: much}}", "outline_std='much' is a str; give a float"),
        ("a2vis: {ros__parameters: {stride: 1}}", "'a2vis' is not for object_localizer"),
        ("/**: {outline_std: 0.1}", "/** must hold the mapping ros__parameters and nothing else"),
        ("/**: {ros__parameters: [1]}", "/** must hold the mapping ros__parameters and nothing else"),
        ("[1, 2]", "holds no parameters"),
        ("", "holds no parameters"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ParameterError) as error:
        read_values(path)
    assert str(path) in str(error.value)
    assert words in str(error.value)


def test_a_file_that_is_missing_or_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"missing\.yaml cannot be read"):
        read_values(tmp_path / "missing.yaml")
    with pytest.raises(ParameterError, match="a file of parameters is a page"):
        read_values(written(tmp_path, " " * (2 << 20)))
