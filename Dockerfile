# syntax=docker/dockerfile:1
# The installation on a robot, line by line that of docs/install.md, in a container.
#
#     docker build -t a2vis .                                                                        # CPU
#     docker build -t a2vis:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .    # NVIDIA GPU
#     docker run --rm --net=host --ipc=host a2vis ros2 launch a2vis_ros a2vis.launch.py image:=/camera/image_raw
#     docker run --rm --net=host --ipc=host --gpus all a2vis:cuda ros2 run a2vis_ros doctor
FROM ros:jazzy

# The index of PyTorch's wheels; those for CUDA bring its libraries along, so that the host needs the driver alone.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_EXTRA_INDEX_URL=${TORCH_INDEX} PIP_NO_CACHE_DIR=1 DEBIAN_FRONTEND=noninteractive

SHELL ["/bin/bash", "-e", "-o", "pipefail", "-c"]
WORKDIR /root/ws
COPY . src/a2vis_ros

# Packages are those of the image's release of Ubuntu and ROS, as on a robot; their versions move with it.
# hadolint ignore=DL3008,DL3013
RUN <<'EOF'
set -e
apt-get update
# install.md: begin
apt-get install -y --no-install-recommends python3-venv
. /opt/ros/jazzy/setup.bash
rosdep update
rosdep install --from-paths src --ignore-src -y --skip-keys "python3-pytorch-pip python3-rosbags-pip"
python3 -m venv --system-site-packages ~/a2vis
. ~/a2vis/bin/activate
pip install --upgrade pip
pip install --group src/a2vis_ros/pyproject.toml:robot
colcon build --packages-select a2vis_ros
# install.md: end
rm -rf /var/lib/apt/lists/*
EOF

ENV VIRTUAL_ENV=/root/a2vis PATH=/root/a2vis/bin:$PATH
ENTRYPOINT ["/bin/bash", "-c", ". /opt/ros/jazzy/setup.bash && . /root/ws/install/setup.bash && exec \"$@\"", "a2vis"]
CMD ["ros2", "launch", "a2vis_ros", "a2vis.launch.py"]
