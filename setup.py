"""Which folders make the pip package; all else is in pyproject.toml. A build by colcon uses CMakeLists.txt instead."""

from setuptools import find_packages, setup

# YAML files that are packages of their own once installed.
KINDS = ("labels", "presets", "recipes")

setup(
    packages=[*find_packages(include=["a2vis_model", "a2vis_model.*"]), *(f"a2vis_model.{kind}" for kind in KINDS)],
    package_dir={f"a2vis_model.{kind}": f"config/{kind}" for kind in KINDS},
    package_data={
        "a2vis_model": ["py.typed", "checkpoints/*"],
        **{f"a2vis_model.{kind}": ["*.yaml"] for kind in KINDS},
    },
)
