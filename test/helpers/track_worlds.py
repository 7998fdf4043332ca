"""What a network that makes no mistakes would say: observations of slots, made of rectangles on a grid."""

from dataclasses import dataclass

import numpy as np

from a2vis_model.tracking.tracks import SlotObservation

GRID = (24, 36)
CELL = 64
"""Input pixels of a grid cell."""


def cells(top, left, height, width):
    """A rectangle as a mask; what is outside the grid is cut off."""
    mask = np.zeros(GRID, np.bool_)
    mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    return mask


EMPTY = cells(0, 0, 0, 0)


@dataclass
class Slot:
    """What one slot says in one frame."""

    visible: np.ndarray
    amodal: np.ndarray | None = None
    """The visible mask unless given."""
    score: float = 0.9
    class_id: int = 0
    prototype: np.ndarray | None = None


def observe(slots, count, dim=0):
    """An observation of `count` slots; a dictionary gives those that say anything."""
    visible, amodal = np.zeros((2, count, *GRID), np.bool_)
    scores, classes = np.zeros(count, np.float32), np.zeros(count, np.int64)
    prototypes = np.zeros((count, dim), np.float32)
    for number, slot in slots.items():
        visible[number] = slot.visible
        amodal[number] = slot.visible if slot.amodal is None else slot.amodal | slot.visible
        scores[number], classes[number] = slot.score, slot.class_id
        if slot.prototype is not None:
            prototypes[number] = slot.prototype / np.linalg.norm(slot.prototype)
    areas = [masks.sum(axis=(1, 2)) * CELL for masks in (visible, amodal)]
    return SlotObservation(classes, scores, scores, *areas, visible, amodal, prototypes)


def unit(dim, index):
    """The prototype of an object: at right angles to those of all others."""
    return np.eye(dim, dtype=np.float32)[index]


@dataclass
class Mover:
    """A rectangle at constant velocity; of several the nearer hide the further."""

    number: int
    top: float
    left: float
    height: int
    width: int
    dy: float = 0.0
    dx: float = 0.0
    start: int = 0

    def at(self, t):
        """Its whole mask in frame `t`."""
        age = t - self.start
        return cells(round(self.top + self.dy * age), round(self.left + self.dx * age), self.height, self.width)


def scene(movers, t):
    """(mover, visible, amodal) of those in view in frame `t`; the first are nearest."""
    covered, found = EMPTY.copy(), []
    for mover in movers:
        amodal = mover.at(t)
        if amodal.any():
            found.append((mover, amodal & ~covered, amodal))
            covered |= amodal
    return found


class IdentityBook:
    """Counts how tracks and true objects go together."""

    def __init__(self):
        self.ids = {}

    def note(self, number, track_id):
        """An object was seen as a track."""
        held = self.ids.setdefault(number, [])
        if not held or held[-1] != track_id:
            held.append(track_id)

    @property
    def switches(self):
        """Changes of an object's ID."""
        return sum(len(held) - 1 for held in self.ids.values())

    @property
    def shared(self):
        """IDs that were given to more than one object."""
        owners = {}
        for number, held in self.ids.items():
            for track_id in held:
                owners.setdefault(track_id, set()).add(number)
        return [track_id for track_id, numbers in owners.items() if len(numbers) > 1]
