"""Reading and writing bags (MCAP and SQLite) with the pure-Python rosbags library, which needs no ROS installation."""

import errno
import fcntl
import os
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from a2vis_model import A2VISError
from a2vis_model.extras import optional_packages
from a2vis_model.files.regular import read_regular

from .. import msg as _messages
from ..wire.exact_text import MessageError, received, serialized

with optional_packages():
    from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer, WriterError
    from rosbags.rosbag2.storage_mcap import McapWriter
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    from rosbags.typesys.store import Typestore

Storage = Literal["mcap", "sqlite3"]
STORAGES: tuple[str, ...] = get_args(Storage)

TRACKS = "/a2vis/tracks"
CLASS_NAMES = "/a2vis/class_names"
GROUND_TRUTH = "/ground_truth"
GROUND_TRUTH_CLASSES = "/ground_truth/class_names"
GROUND_TRUTH_OBJECTS = "/ground_truth/objects"
TF = "/tf"
LATCHED = (CLASS_NAMES, GROUND_TRUTH_CLASSES)

_UNFINISHED = "a2vis_recording"
"""Key of the metadata while a bag is written; a bag that still has it was not closed."""
_MCAP_MAGIC = b"\x89MCAP0\r\n"
_MCAP_NO_SUMMARY = struct.pack("<BQQQI", 0x02, 20, 0, 0, 0) + _MCAP_MAGIC
"""Footer of an MCAP file without an index."""


class BagError(A2VISError):
    """A bag cannot be read or written."""


def type_name(message_type: type) -> str:
    """Return the name of a type in bags, such as sensor_msgs/msg/Image."""
    package, kind, _ = message_type.__module__.split(".", 2)
    return f"{package}/{kind}/{message_type.__name__}"


class BagWriter:
    """Writes messages to a new bag; use it in a `with` statement.

    What has been flushed survives any end of the process: `BagReader` repairs such a bag.

    Args:
        path: a folder that does not exist yet.
        storage: mcap or sqlite3.
    """

    def __init__(self, path: str | Path, storage: Storage) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f"{self.path} exists already; name another bag, or remove it first")
        self._typestore = _typestore()
        self._connections: dict[str, Connection] = {}
        self._writer = Writer(self.path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        self._writer.set_custom_data(_UNFINISHED, "unfinished")
        self._lock: int | None = None

    def __enter__(self) -> "BagWriter":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._attempt(self._writer.open)
        self._lock = self._attempt(_lock, self.path)
        self.flush()
        return self

    def flush(self) -> None:
        """Write everything to the file, with metadata that describe its present content."""
        self._attempt(self._flush)

    def _flush(self) -> None:
        storage = self._writer.storage
        if isinstance(storage, McapWriter):
            if storage.chunk.msgs:
                storage.close_chunk()
            storage.bio.flush()
        else:
            storage.conn.commit()
        # rosbags writes the metadata when it closes the bag, so it closes a stand-in while the storage stays open.
        self._writer.storage = _StaysOpen(storage.path)
        try:
            self._writer.close()
        finally:
            self._writer.storage = storage

    def write(self, topic: str, message: Any, time_ns: int) -> None:
        """Append a message.

        Raises:
            BagError: it cannot be written.
        """
        self.write_raw(topic, type_name(type(message)), serialized(message), time_ns)

    def write_raw(self, topic: str, kind: str, data: bytes, time_ns: int) -> None:
        """Append a serialised message."""
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._connections[topic] = self._attempt(
                self._writer.add_connection,
                topic,
                kind,
                typestore=self._typestore,
                offered_qos_profiles=[_qos(latched=topic in LATCHED)],
            )
        self._attempt(self._writer.write, connection, time_ns, data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                del self._writer.custom_data[_UNFINISHED]
                self._attempt(self._writer.close)
            else:
                # A bag that could not be written cannot be closed either, and that error has been reported.
                with suppress(Exception):
                    self._writer.abort()
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def _attempt(self, action: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return action(*args, **kwargs)
        except (OSError, WriterError) as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            remedy = "the disk is full; free some space or write elsewhere" if full else "check the folder"
            raise BagError(f"{self.path}: cannot be written ({error}); {remedy}") from error
        except Exception as error:
            # rosbags passes SQLite's own errors on unchanged.
            raise BagError(f"{self.path}: cannot be written ({error}); is there space on the disk?") from error


class _StaysOpen:
    """Stand-in for a storage that stays open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self, version: int, metadata: str) -> None:
        """Leave the storage open."""


class BagReader:
    """Reads messages in the order of their times; use it in a `with` statement.

    A bag of ours whose writer was killed is repaired first (see `reindex`).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            _check_regular(self.path)
            self._reader = Reader(self.path)
        except Exception as error:  # Of a broken metadata.yaml rosbags' reader passes on whatever its parser raises.
            raise BagError(f"{self.path}: not a readable bag ({error}); {_remedy(self.path)}") from error

    def __enter__(self) -> "BagReader":
        if _is_unfinished(self.path):
            reindex(self.path)
        try:
            self._reader.open()
            # rosbags takes these from metadata.yaml as they are.
            odd = [
                c for c in self._reader.connections if not _is_text(c.topic, c.msgtype) or type(c.msgcount) is not int
            ]
        except Exception as error:
            raise BagError(f"{self.path}: not a readable bag ({error})") from error
        if odd:
            self._reader.close()
            raise BagError(
                f"{self.path}: metadata.yaml states no topic, type and count of messages for {odd[0].topic!r:.60}; "
                f"'ros2 bag reindex {self.path}' writes it anew"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def topics(self) -> dict[str, str]:
        """Message types by topic."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    def count(self, topic: str) -> int:
        """Return the number of messages on a topic."""
        return sum(c.msgcount for c in self._reader.connections if c.topic == topic)

    def raw(self, *topics: str) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, time in ns, serialised message) of these topics, of all if none is named."""
        connections = [c for c in self._reader.connections if not topics or c.topic in topics]
        if not connections:
            return
        try:
            for connection, time_ns, data in self._reader.messages(connections):
                yield connection.topic, time_ns, bytes(data)
        except Exception as error:
            # There are many kinds of errors: rosbags passes on SQLite's own, and whatever its MCAP reader raises.
            raise BagError(f"{self.path}: broken in the middle ({error}); record it again") from error

    def contents(self, message_type: type, topic: str) -> Iterator[tuple[int, bytes]]:
        """Yield (time in ns, serialised message) of a topic.

        Raises:
            BagError: the topic is of another type.
        """
        kind = self.topics.get(topic)
        if kind not in (None, type_name(message_type)):
            raise BagError(f"{self.path}: {topic} holds {kind}, not {type_name(message_type)}")
        for _, time_ns, data in self.raw(topic):
            yield time_ns, data

    def messages(self, message_type: type, topic: str) -> Iterator[tuple[int, Any]]:
        """Yield (time in ns, message) of a topic.

        Raises:
            BagError: the topic is of another type, or a message is damaged.
        """
        for time_ns, data in self.contents(message_type, topic):
            yield time_ns, self.decoded(topic, data, message_type)

    def decoded(self, topic: str, data: bytes, message_type: type) -> Any:
        """Return a message that `raw` has yielded.

        Raises:
            BagError: it is damaged.
        """
        try:
            return received(data, message_type)
        except MessageError as error:
            raise self.damaged(topic, error) from error

    def damaged(self, topic: str, error: Exception) -> BagError:
        """The error that says that a message on a topic is damaged, and what to do."""
        return BagError(f"{self.path}: a message on {topic} cannot be read ({error}); record or make the bag again")

    def topic_of(self, *message_types: type, other_than: str = "") -> str:
        """Return the only topic of these types whose last name is not `other_than`.

        Raises BagError if there are none or several.
        """
        kinds = [type_name(message_type) for message_type in message_types]
        topics = {topic: kind for topic, kind in self.topics.items() if topic.rpartition("/")[2] != other_than}
        found = sorted(topic for topic, kind in topics.items() if kind in kinds)
        if len(found) != 1:
            listed = ", ".join(found) or "none"
            raise BagError(f"{self.path}: topics of {' or '.join(kinds)}: {listed}; name one with --topic")
        return found[0]


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def reindex(path: str | Path) -> int:
    """Repair a bag whose writer was killed, so that any reader accepts it with the messages that were flushed.

    Returns:
        The number of messages.

    Raises:
        BagError: it is still being written, or cannot be repaired.
    """
    bag = Path(path)
    files = sorted((*bag.glob("*.mcap"), *bag.glob("*.db3")))
    if len(files) != 1:
        raise BagError(f"{bag}: has {len(files)} files of messages, expected one; try 'ros2 bag reindex {bag}'")
    # What is written in its place must not be another's file.
    if files[0].is_symlink() or not files[0].is_file():
        raise BagError(f"{bag}: its recorder was killed, and {files[0].name} is a link or no file; put the file there")
    try:
        lock = _lock(bag)
    except BlockingIOError as error:
        raise BagError(f"{bag}: it is being recorded; wait until its recorder has ended") from error
    try:
        if files[0].suffix == ".mcap":
            _end_mcap(files[0])
        else:
            _end_sqlite(files[0])
        return _rewrite(bag, files[0])
    except Exception as error:  # There are many kinds of errors, including rosbags' own and SQLite's.
        raise BagError(
            f"{bag}: its recorder was killed, and it cannot be put in order ({error}); is its folder writable and is "
            f"there space? Else try 'ros2 bag reindex {bag}'"
        ) from error
    finally:
        if lock is not None:
            os.close(lock)


def _check_regular(bag: Path) -> None:
    """Check that whoever opens a bag's files does not wait for another program.

    Raises:
        OSError: one is a pipe or a device.
    """
    for file in bag.iterdir() if bag.is_dir() else (bag,):
        if file.exists() and not file.is_file() and not file.is_dir():
            raise OSError(f"{file.name} is not a regular file")


def _is_unfinished(bag: Path) -> bool:
    """Return whether a bag is one of ours that has not been closed."""
    try:
        return f"{_UNFINISHED}: unfinished" in read_regular(bag / "metadata.yaml").decode("utf-8")
    except (OSError, ValueError):
        return False


def _lock(folder: Path) -> int | None:
    """Lock a folder for this process and return its descriptor, which holds the lock until it is closed.

    None where the file system has no locks.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    # The folder is locked, not its files: closing those would release SQLite's own locks.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _end_mcap(path: Path) -> None:
    """Cut off a record that was not written completely, and end the file."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        position = len(_MCAP_MAGIC)
        while position + 9 <= size:
            file.seek(position)
            kind, length = struct.unpack("<BQ", file.read(9))
            # The last two records of a file.
            if position + 9 + length > size or kind in (0x02, 0x0F):
                break
            position += 9 + length
        file.seek(position)
        file.truncate()
        file.write(_MCAP_NO_SUMMARY)


def _end_sqlite(path: Path) -> None:
    """Roll back an uncommitted transaction, which SQLite does when it opens the file for writing."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()
    # The journal is of a transaction that had not reached the file yet.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _rewrite(bag: Path, file: Path) -> int:
    """Write the messages of a file again, with index and metadata, and replace the file."""
    count = 0
    with tempfile.TemporaryDirectory(prefix=".reindex-", dir=bag.parent) as folder, Reader(file) as reader:
        storage = StoragePlugin.MCAP if file.suffix == ".mcap" else StoragePlugin.SQLITE3
        typestore = _typestore()
        with Writer(Path(folder) / bag.name, version=9, storage_plugin=storage) as writer:
            targets = {
                source.id: writer.add_connection(
                    source.topic,
                    source.msgtype,
                    typestore=typestore,
                    serialization_format=source.ext.serialization_format,
                    offered_qos_profiles=source.ext.offered_qos_profiles,
                )
                for source in reader.connections
            }
            # `messages` is not used: it refuses a file without an index in which the clock was set back.
            scan = reader.storage.messages_scan if storage is StoragePlugin.MCAP else reader.messages
            for source, time_ns, data in scan(reader.connections):
                writer.write(targets[source.id], time_ns, data)
                count += 1
        for name in (file.name, "metadata.yaml"):
            os.replace(Path(folder) / bag.name / name, bag / name)
    return count


def _remedy(path: Path) -> str:
    """Return the remedy for something that is not a valid bag."""
    if path.is_dir() and not (path / "metadata.yaml").exists():
        files = sorted(file.name for pattern in ("*.mcap", "*.db3") for file in path.glob(pattern))
        if files:
            played = f", and `ros2 bag play` plays {files[0]} itself" if files[0].endswith(".mcap") else ""
            return f"its recorder was killed: `ros2 bag reindex {path}` writes metadata.yaml anew{played}"
    return "give the folder with metadata.yaml"


def _typestore() -> Typestore:
    """Return the message types of Jazzy and of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    folder = _definitions()
    types: dict[str, Any] = {}
    for file in sorted(folder.glob("*.msg")):
        types |= get_types_from_msg(file.read_text(encoding="utf-8"), f"a2vis_ros/msg/{file.stem}")
    store.register(types)
    return store


def _definitions() -> Path:
    """Return the folder of our .msg files, in the prefix where the generated messages are installed."""
    for parent in Path(str(_messages.__file__)).parents:
        folder = parent / "share" / "a2vis_ros" / "msg"
        if folder.is_dir():
            return folder
    raise BagError(f"{_messages.__file__}: share/a2vis_ros/msg is in no folder above it; build the package again")


def _qos(*, latched: bool) -> Qos:
    forever = QosTime(0x7FFFFFFF, 0xFFFFFFFF)
    return Qos(
        QosHistory.KEEP_LAST,
        1 if latched else 10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
