"""The planner examples on what the localizer says of a person behind a parked car; Python and C++ alike."""

import importlib.util
import math
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from paths import HELPERS, ROOT
from ros_helpers import needs_ros
from worlds import CAMERA, LEVEL, Box, frame, look, track

from a2vis_ros.space.localizer import Localizer, LocalizerSettings, State
from a2vis_ros.space.transforms import TransformBuffer

pytestmark = needs_ros

CAR = Box(9.0, -2.6, (4.4, 1.8, 1.9))
CRUISE = 3.0


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slow_for_hidden", ROOT / "examples" / "slow_for_hidden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def street(seconds: float, person: Box | None) -> Any:
    """Objects in odom: a parked car to the right of the way, and somebody who walked behind it."""
    from a2vis_ros.msg import TrackedInstanceArray
    from std_msgs.msg import Header

    from a2vis_ros.node.space_messages import ObjectMessages

    buffer = TransformBuffer()
    buffer.add("odom", "camera", LEVEL, 0, static=True)
    localizer = Localizer(LocalizerSettings(fixed_frame="odom"), buffer)
    for i in range(round(seconds * 10) + 1):
        # Towards the way at 1 m/s, from beside the car to behind it.
        boxes = [CAR] if person is None else [CAR, Box(person.x, person.y + 0.1 * i)]
        masks, depth = look(boxes)
        tracks = [
            track(*one, track_id=number, class_name=name)
            for number, (one, name) in enumerate(zip(masks, ("car", "person"), strict=False), 1)
        ]
        result = localizer.update(frame(0.1 * i, tracks), CAMERA, depth)
    return ObjectMessages().write(result, TrackedInstanceArray(header=Header(frame_id="camera")))


def test_it_slows_down_for_a_person_behind_a_parked_car(example: ModuleType) -> None:
    with_person = street(3.5, Box(12.5, -7.4))
    person = next(found for found in with_person.objects if found.class_name == "person")
    assert person.state == State.LOST
    assert len(person.emergences) == 2
    alone = street(0.3, None)
    assert example.allowed_speed(alone, 0.0, 0.0, 0.0, CRUISE) == CRUISE
    # Near the car it drives so that it could stop; far away, and when it is past, as fast as it likes.
    assert example.allowed_speed(with_person, 9.0, 0.0, 0.0, CRUISE) < 0.9 * CRUISE
    assert example.allowed_speed(with_person, -20.0, 0.0, 0.0, CRUISE) == CRUISE
    assert example.allowed_speed(with_person, 14.5, 0.0, 0.0, CRUISE) == CRUISE
    # In the other direction it drives away.
    assert example.allowed_speed(with_person, 9.0, 0.0, math.pi, CRUISE) == CRUISE


def test_python_and_cpp_say_the_same(example: ModuleType, tmp_path: Path) -> None:
    from a2vis_ros.msg import Emergence, TrackedObject, TrackedObjectArray

    from a2vis_ros import msg

    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    prefix = next(p for p in Path(str(msg.__file__)).parents if (p / "share" / "a2vis_ros").is_dir())
    program = tmp_path / "planner"
    folders = [f"-I{folder}" for folder in sorted((prefix / "include").iterdir()) if folder.is_dir()]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/examples", *folders]
    source = str(HELPERS / "planner_example.cpp")
    libraries = [f"-L{prefix}/lib", "-lrosidl_runtime_c"]
    subprocess.run([compiler, *flags, source, *libraries, "-o", str(program)], check=True)
    rng = np.random.default_rng(0)
    speeds = set()
    for _ in range(50):
        message, lines = TrackedObjectArray(), []
        for _ in range(rng.integers(1, 4)):
            values = [
                *(float(rng.integers(5)), rng.random(), float(rng.integers(2)), rng.random() * 3),
                *rng.uniform((-1, -3, -1, -3), (5, 3, 5, 3)).tolist(),
            ]
            found = TrackedObject(class_name="person", state=int(values[0]), existence=np.float32(values[1]).item())
            if values[2]:
                found.emergences = [Emergence(earliest_s=np.float32(values[3]).item())]
                found.emergences[0].point.x, found.emergences[0].point.y = values[4:6]
            found.pose.pose.position.x, found.pose.pose.position.y = values[6:8]
            message.objects.append(found)
            lines.append(" ".join(map(repr, map(float, values))))
        done = subprocess.run([str(program)], input="\n".join(lines), capture_output=True, text=True, check=True)
        speeds.add(done.stdout)
        assert float(done.stdout) == pytest.approx(example.allowed_speed(message, 0.0, 0.0, 0.0, CRUISE), rel=1e-6)
    assert len(speeds) > 5
