"""The engine cache finds what fits, and refuses what is stale, broken, foreign or others' to write."""

import json
import os
import stat

import pytest
from networks import tiny_config, tiny_model

from a2vis_model.backends.engine_cache import EngineCache, default_cache, engine_key, fingerprint
from a2vis_model.backends.parity import GateResult
from a2vis_model.errors import BackendError

GATE = GateResult(10, 1.0, 0.999, 1e-4, 1e-4, 1e-4, ())
CONFIG = tiny_config()
KEY = engine_key(tiny_model(CONFIG), CONFIG, "compile", "fp32", {})


def store(cache, key=KEY):
    with cache.unfinished() as folder:
        for name in ("frame.bin", "clip.bin"):
            (folder / name).write_bytes(name.encode() * 100)
        cache.keep(folder, key, GATE)
    return cache.root / f"compile-fp32-{fingerprint(key)}"


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def test_what_was_kept_is_found_with_a_readable_manifest(cache):
    assert cache.find(KEY) is None
    assert not cache.holds(KEY)
    assert not cache.root.exists(), "looking leaves no trace"
    directory = store(cache)
    assert cache.find(KEY) == directory
    assert cache.holds(KEY)
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["key"] == KEY
    assert manifest["gate"]["visible_iou"] == 1.0
    assert sorted(manifest["files"]) == ["clip.bin", "frame.bin"]
    assert [path.name for path in cache.root.iterdir()] == [directory.name], "something unfinished is left"
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "weights"),
        ({"config": tiny_config(input_width=128)}, "input"),
        ({"config": tiny_config(clip_length=2)}, "input"),
        ({"precision": "fp16"}, "precision"),
        ({"backend": "tensorrt"}, "backend"),
        ({"versions": {"tensorrt": "11.1"}}, "tensorrt"),
    ],
)
def test_a_key_changes_with_all_it_depends_on(changes, named):
    config = changes.get("config", CONFIG)
    key = engine_key(
        tiny_model(config, changes.get("seed", 0)),
        config,
        changes.get("backend", "compile"),
        changes.get("precision", "fp32"),
        changes.get("versions", {}),
    )
    assert key.get(named) != KEY.get(named)
    assert fingerprint(key) != fingerprint(KEY)


def test_an_engine_of_the_same_network_for_something_else_is_named(cache):
    store(cache, {**KEY, "torch": "2.9.0"})
    store(cache, {**KEY, "weights": "0" * 64})
    assert cache.find(KEY) is None
    (miss,) = cache.near_misses(KEY)
    assert "torch 2.9.0 instead of 2." in miss


def break_it(directory, how):
    manifest = directory / "manifest.json"
    content = json.loads(manifest.read_text())
    if how == "truncated":
        path = directory / "frame.bin"
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "missing":
        (directory / "clip.bin").unlink()
    elif how == "stale":
        manifest.write_text(json.dumps(content | {"key": {**KEY, "torch": "2.9.0"}}))
    elif how == "no manifest":
        manifest.unlink()
    elif how == "half a manifest":
        manifest.write_text(manifest.read_text()[:50])
    elif how == "foreign":
        manifest.write_text(json.dumps(content | {"format": "other/1"}))
    elif how == "elsewhere":
        manifest.write_text(json.dumps(content | {"files": {"../frame.bin": "0", "clip.bin": "0"}}))
    elif how == "half an engine":
        manifest.write_text(json.dumps(content | {"files": {"clip.bin": content["files"]["clip.bin"]}}))
    elif how == "strange":
        manifest.write_text(json.dumps(content | {"files": ["frame.bin"]}))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", r"frame\.bin is refused: it is truncated or changed"),
        ("missing", r"clip\.bin is refused: it cannot be read"),
        ("stale", r"torch 2\.9\.0 instead of"),
        ("no manifest", r"manifest\.json cannot be read"),
        ("half a manifest", r"manifest\.json cannot be read"),
        ("foreign", r"not of format a2vis-engine/1"),
        ("elsewhere", "names files elsewhere"),
        ("half an engine", "holds clip instead of"),
        ("strange", "no usable 'files'"),
    ],
)
def test_broken_engines_are_refused_and_named(cache, how, said):
    directory = store(cache)
    break_it(directory, how)
    with pytest.raises(BackendError, match=said) as caught:
        cache.find(KEY)
    assert str(directory) in str(caught.value)
    assert "build-engine" in str(caught.value)


def test_what_others_may_write_is_refused(cache, tmp_path):
    directory = store(cache)
    for path in (directory / "clip.bin", directory, cache.root):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IWOTH)
        with pytest.raises(BackendError, match="others may write"):
            cache.find(KEY)
        path.chmod(mode)
    assert cache.find(KEY) == directory
    cache.root.chmod(0o777)
    with pytest.raises(BackendError, match="others may write"), cache.unfinished():
        pass
    cache.root.chmod(0o700)
    (directory / "clip.bin").rename(tmp_path / "clip.bin")
    (directory / "clip.bin").symlink_to(tmp_path / "clip.bin")
    with pytest.raises(BackendError, match="it is a link"):
        cache.find(KEY)


def test_what_is_others_is_refused(cache, monkeypatch):
    directory = store(cache)
    if os.getuid() == 0:
        os.chown(directory, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(BackendError, match="belongs to user"):
        cache.find(KEY)


def test_a_second_builder_takes_the_first_ones_engine(cache):
    first = store(cache)
    before = first.stat().st_mtime_ns
    assert store(cache) == first
    assert first.stat().st_mtime_ns == before


def test_the_default_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "a2vis" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "a2vis" / "engines"
