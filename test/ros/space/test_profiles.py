"""Priors of classes, and files of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from a2vis_ros.space.profiles import (
    DEFAULT_PROFILES,
    OTHER,
    ClassProfile,
    ProfileError,
    ProfileTable,
    profile_of,
    read_profiles,
)


def test_an_object_seen_from_its_side_is_as_thick_as_it_is_wide() -> None:
    car, person = ClassProfile(4.4, 1.8, 1.5, 0.3), ClassProfile(0.5, 0.5, 1.7, 0.15)
    means, stds = ProfileTable.of([car] * 4 + [person]).thickness(np.array([0.5, 1.8, 4.6, 4.1, 0.5]))
    assert means[:3] == pytest.approx([4.4, 4.4, 2.4], abs=0.4)
    assert (stds[:3] < 0.9).all()
    # It might be seen from the side, or obliquely: both are within the deviation.
    assert abs(means[3] - 1.8) < 2 * stds[3] > abs(means[3] - 4.4)
    assert (means[4], stds[4]) == pytest.approx((0.5, 0.15))


def test_a_class_without_a_profile_has_that_of_all_others() -> None:
    assert profile_of(DEFAULT_PROFILES, "person").height == 1.7
    assert profile_of(DEFAULT_PROFILES, "forklift") == DEFAULT_PROFILES[OTHER]


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "classes.yaml"
    file.write_text("person: {max_speed: 9}\nforklift: {length: 3.0, width: 1.2, height: 2.1}\n")
    profiles = read_profiles(file)
    assert profiles["person"].max_speed == 9
    assert profiles["person"].height == 1.7
    assert profiles["forklift"].length == 3.0
    assert profiles["forklift"].half_life_s == DEFAULT_PROFILES[OTHER].half_life_s
    assert profiles["car"] == DEFAULT_PROFILES["car"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("person: {height: 0}", "height=0"),
        ("person: {height: .nan}", "height=nan"),
        ("person: {height: true}", "height=True"),
        ("person: {height: tall}", "height='tall'"),
        ("person: {hight: 1}", "no field 'hight'"),
        ("person: {width: 5}", "width=5"),
        ("person: 3", "'person' is no mapping"),
        ("- person", "no mapping from class names"),
        ("person: [", "cannot be read"),
        ("person: {height: 2000-99-99}", "cannot be read"),
        ("person: {height: !!int ''}", "cannot be read"),
        ("", "no mapping"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.yaml"
    file.write_text(text)
    with pytest.raises(ProfileError, match=words):
        read_profiles(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profiles(tmp_path / "none.yaml")
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profiles("a\0b.yaml")


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.yaml").write_text("robot: {length: 2.5}")
    assert read_profiles("~/x.yaml")["robot"].length == 2.5


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "classes.yaml")
    with pytest.raises(ProfileError, match="is not a regular file"):
        read_profiles(tmp_path / "classes.yaml")
