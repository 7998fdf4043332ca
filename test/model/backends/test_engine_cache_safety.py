"""Nobody but the user gets code into an engine, and no builder loses its work to another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from networks import tiny_config, tiny_model

from a2vis_model.backends.compiler_caches import private_caches
from a2vis_model.backends.engine_cache import EngineCache, engine_key, fingerprint
from a2vis_model.backends.parity import GateResult
from a2vis_model.errors import BackendError

GATE = GateResult(10, 1.0, 0.999, 1e-4, 1e-4, 1e-4, ())
CONFIG = tiny_config()
KEY = engine_key(tiny_model(CONFIG), CONFIG, "compile", "fp32", {})


def test_compilers_keep_their_files_in_a_folder_of_the_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/tmp/of-all")
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)

    def fail():
        with private_caches(tmp_path):
            folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
            assert folder.parent == tmp_path
            assert folder.stat().st_mode & 0o777 == 0o700
            assert Path(os.environ["TRITON_CACHE_DIR"]).parent == folder
            raise RuntimeError("ended")

    with pytest.raises(RuntimeError, match="ended"):
        fail()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/tmp/of-all"
    assert "TRITON_CACHE_DIR" not in os.environ
    assert not list(tmp_path.iterdir())


def store(cache):
    with cache.unfinished() as folder:
        for name in ("frame.bin", "clip.bin"):
            (folder / name).write_bytes(name.encode() * 100)
        cache.keep(folder, KEY, GATE)
    return cache.root / f"compile-fp32-{fingerprint(KEY)}"


@pytest.mark.parametrize("level", ["above", "far above"])
def test_a_cache_below_a_folder_that_everyone_may_write_to_is_refused(tmp_path, level):
    cache = EngineCache(tmp_path / "far" / "above" / "engines")
    directory = store(cache)
    assert cache.find(KEY) == directory
    folder = cache.root.parent if level == "above" else cache.root.parent.parent
    folder.chmod(0o777)
    with pytest.raises(BackendError, match=rf"others may write to {folder} .*chmod go-w {folder}"):
        cache.find(KEY)
    with pytest.raises(BackendError, match=r"others may write to"), cache.unfinished():
        pass
    # As /tmp: nobody can rename what is another's.
    folder.chmod(0o1777)
    assert cache.find(KEY) == directory


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_cache_below_a_folder_of_another_user_is_refused(tmp_path):
    cache = EngineCache(tmp_path / "above" / "engines")
    store(cache)
    os.chown(cache.root.parent, 12345, -1)
    with pytest.raises(BackendError, match=rf"{cache.root.parent} belongs to user 12345, who could replace it"):
        cache.find(KEY)


def test_folders_are_made_for_this_user_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        store(EngineCache(tmp_path / "a" / "b" / "engines"))
    finally:
        os.umask(before)
    for path in ("a", "a/b", "a/b/engines"):
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o700


def test_what_a_killed_builder_left_goes_and_what_is_being_built_stays(tmp_path):
    """A lock tells them apart: a builder in another container has a process number that says nothing here."""
    cache = EngineCache(tmp_path / "engines")
    code = (
        "import sys; from pathlib import Path; from a2vis_model.backends.engine_cache import EngineCache\n"
        "with EngineCache(Path(sys.argv[1])).unfinished() as folder:\n"
        "    (folder / 'frame.bin').write_text('half')\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", code, str(cache.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        folder = builder.stdout.readline().strip()
        store(cache)
        assert os.path.isfile(f"{folder}/frame.bin"), "the work of a builder that is alive"
    finally:
        builder.kill()
        builder.communicate()
    assert os.path.isdir(folder), "nothing could clean up behind it"
    # An earlier version named such a folder after its process.
    (cache.root / f".unfinished-{os.getpid()}-x").mkdir()
    directory = store(cache)
    assert [path.name for path in cache.root.iterdir()] == [directory.name]
