# Everything runs in .venv, which these targets make themselves.

PYTHON ?= python3
# One known build, so that a machine without a GPU does not fetch gigabytes of CUDA. On a GPU machine the plain
# wheel brings CUDA along.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

# On a sourced ROS 2 machine the built messages need their environment.
ROS_ENV := $(if $(AMENT_PREFIX_PATH),. $(VENV)/local_setup.sh &&)

# Tests start a hundred programs, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-tensorrt test lint docs ros test-ros demo clean

setup: $(VENV)/.ready

$(VENV)/.ready: setup.py pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; set PYTHON=... to one"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

# With ROS 2 where it can be had: sourced, or from wheels. Where it cannot, its tests say why they are skipped. They run by
# themselves, because a process that has loaded ROS has threads, and other tests fork.
test: lint
	$(BIN)/python tools/ros_setup.py --if-possible
	$(BIN)/python tools/tensorrt_setup.py --if-possible
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs --durations 20 -n auto --dist worksteal --ignore test/ros
	$(ROS_ENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs --durations 20 -n auto --dist worksteal test/ros

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in site/; a warning, such as a broken link, is an error (--quiet would hide it from --strict).
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(VENV)/.ready pyproject.toml
	$(BIN)/pip install --quiet --editable '.[docs]'
	@touch $@

# ROS 2 Jazzy from PyPI wheels, with this package's messages built; a sourced ROS 2 is used where there is one.
ros: setup
	$(BIN)/python tools/ros_setup.py

test-ros: ros
	$(ROS_ENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal test/ros

# Torch-TensorRT and TensorRT-RTX's builder, to check without a GPU that the network converts.
setup-tensorrt: setup
	$(BIN)/python tools/tensorrt_setup.py

# On a rendered aquarium, with the weights that know its fish: onboard-fishbowl.
demo: ros
	$(ROS_ENV) $(BIN)/python -m a2vis_ros.tools.demo --output demo $(DEMO)

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache
