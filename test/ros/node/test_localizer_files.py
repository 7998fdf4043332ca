"""The files that come with the localizer: parameters, an RViz configuration, an example for Nav2's costmap."""

import yaml
from paths import ROOT

from a2vis_ros.space.parameters import PARAMETERS


def test_the_configuration_file_holds_every_parameter_with_its_default() -> None:
    text = (ROOT / "config" / "object_localizer.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {parameter.name: parameter.default for parameter in PARAMETERS}
    assert {name: type(value) for name, value in values.items()} == {p.name: type(p.default) for p in PARAMETERS}


def test_rviz_shows_what_is_published() -> None:
    displays = yaml.safe_load((ROOT / "rviz" / "a2vis_space.rviz").read_text(encoding="utf-8"))["Visualization Manager"]
    topics = {display["Topic"]["Value"] for display in displays["Displays"] if "Topic" in display}
    assert topics == {"overlay", "image", "object_localizer/markers", "object_localizer/hidden_footprints"}


def test_the_costmap_example_takes_what_is_published() -> None:
    """Keys are those of nav2_costmap_2d's obstacle layer in Jazzy; topic, type and heights are the cloud's."""
    text = (ROOT / "config" / "nav2_costmap_example.yaml").read_text(encoding="utf-8")
    costmap = yaml.safe_load(text)["local_costmap"]["local_costmap"]["ros__parameters"]
    layer = costmap["hidden_layer"]
    assert "hidden_layer" in costmap["plugins"]
    sources = layer["observation_sources"].split()
    assert set(layer) == {"plugin", "enabled", "combination_method", "observation_sources", *sources}
    source_keys = {"topic", "data_type", "sensor_frame", "marking", "clearing", "inf_is_valid"}
    source_keys |= {"observation_persistence", "expected_update_rate", "min_obstacle_height", "max_obstacle_height"}
    source_keys |= {f"{kind}_{end}_range" for kind in ("obstacle", "raytrace") for end in ("min", "max")}
    for source in sources:
        assert set(layer[source]) <= source_keys
    hidden = layer["hidden"]
    assert hidden["topic"] == "/object_localizer/hidden_footprints"
    assert hidden["data_type"] == "PointCloud2"
    assert (hidden["marking"], hidden["clearing"]) == (True, False)
    # A person's middle, and a bus's.
    assert hidden["min_obstacle_height"] < 0.85 < 1.55 < hidden["max_obstacle_height"]
