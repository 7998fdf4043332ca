"""RVL, the fast lossless coding of depth images: Wilson, "Fast Lossless Depth Image Compression", 2017. No ROS.

Pairs of run lengths, of zeros and of other pixels, the latter followed by as many differences to the pixel before.
Numbers are of groups of 3 bits, lowest first, each in 4 bits of which the highest says that another follows. Groups
fill words of 32 bits from the highest bit down, as image_transport writes them.

Where a pair stands depends on all pairs before it; everything else is worked out for many pixels at once, in blocks
that fit into a cache: in arrays for the whole image most of the time would go into getting memory for them.
"""

import numpy as np
from numpy.typing import NDArray

_MOST_GROUPS = 11
"""Groups of the longest number, of 32 bits."""
_LARGE = 1 << 30
"""More than the pixels of any image."""
_UNFINISHED = 1 << 12
"""Set in what four groups make up where the number goes on behind them."""
_BLOCK = 1 << 15
"""Groups, or numbers, that are worked on at once."""
_STEPS = 2048
"""Pairs that are gone through one by one, which takes less time than preparing jumps."""
_DOUBLINGS = 3
"""A jump is over 2 ** _DOUBLINGS pairs."""


class RvlError(ValueError):
    """Words that are no RVL image. The message says why, as the end of a sentence about the image."""


def decode_rvl(words: NDArray[np.uint32], size: int) -> NDArray[np.uint16]:
    """Return the pixels of an image of so many, one behind the other.

    Args:
        words: what follows the size of the image. Those that no image of this size can take are not looked at.
        size: number of pixels.

    Raises:
        RvlError: they end too early, or are broken.
    """
    # A difference of pixels takes 6 groups at most, a run no more than its length, or 1. That is a word a pixel, so
    # that the time is bounded whatever comes.
    numbers = _numbers(words[: size + 1])
    pairs = _pairs(numbers, size)
    zeros, others = numbers[pairs].astype(np.int64), numbers[pairs + 1].astype(np.int64)
    ends = np.cumsum(zeros + others)
    # The first pair with which the image is full. No later one counts.
    count = int(np.searchsorted(ends, size)) + 1
    pairs, zeros, others, ends = pairs[:count], zeros[:count], others[:count], ends[:count]
    if (zeros + others == 0).any() or (ends > size).any() or (pairs + 2 + others > len(numbers)).any():
        raise RvlError("has runs that do not fit its size; it is broken")
    if size and (not len(ends) or ends[-1] < size):
        raise RvlError("ends before its last pixel; it was cut short")
    is_difference = np.ones(len(numbers), np.bool_)
    is_difference[pairs] = is_difference[pairs + 1] = False
    coded = numbers[is_difference][: others.sum()]
    # Pixels are of 16 bits, and what sums have beyond these does not change them.
    values = (coded >> 1).astype(np.uint16)
    values ^= -(coded & 1).astype(np.uint16)
    np.cumsum(values, out=values)
    if len(values) == size:
        return values
    # Whether a pixel is of a run of others changes where such a run begins and where it ends.
    runs = others > 0
    turns = np.zeros(size + 1, np.bool_)
    turns[(ends - others)[runs]] = True
    turns[ends[runs]] ^= True
    samples = np.zeros(size, np.uint16)
    samples[np.logical_xor.accumulate(turns[:-1])] = values
    return samples


def _numbers(words: NDArray[np.uint32]) -> NDArray[np.int32]:
    """The numbers of the groups in words; one that does not end is left out.

    Of those of more than 30 bits all that is kept are the lower bits and that they are `_LARGE`.
    """
    pieces = words.byteswap().view(np.uint8)
    last = 2 * len(pieces)
    # One before the first that ends, and behind the last as many as are read beyond a number's beginning.
    groups = np.zeros(1 + last + _MOST_GROUPS, np.uint8)
    groups[1:last:2] = pieces >> 4
    groups[2 : last + 1 : 2] = pieces & 15
    # The last number that ends does so here.
    last = last - int(np.argmax(groups[last::-1] < 8))
    blocks = [
        _numbers_of_block(groups[at : min(at + _BLOCK, last) + 1 + _MOST_GROUPS]) for at in range(0, last, _BLOCK)
    ]
    return np.concatenate([np.empty(0, np.int32), *blocks])


def _numbers_of_block(groups: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The numbers that begin behind the first group, but for those in the last `_MOST_GROUPS`."""
    starts = np.flatnonzero(groups[: -1 - _MOST_GROUPS] < 8)
    groups = groups[1:]
    fours = _fours(groups)
    numbers = fours[starts].astype(np.int32)
    more = np.flatnonzero(numbers & _UNFINISHED)
    if not len(more):
        return numbers
    numbers &= _UNFINISHED - 1
    following = fours[starts[more] + 4].astype(np.int32)
    numbers[more] |= (following & (_UNFINISHED - 1)) << 12
    more = more[following & _UNFINISHED > 0]
    if (groups[starts[more, None] + np.arange(8, _MOST_GROUPS)] >= 8).all(axis=1).any():
        raise RvlError("holds a number of more than 32 bits; it is broken")
    longest = numbers[more] | (fours[starts[more] + 8].astype(np.int64) << 24)
    numbers[more] = np.where(longest < _LARGE, longest, _LARGE | longest & 0xFFFFFF)
    return numbers


def _fours(groups: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """For each group what it and up to three that follow in its number make up, and whether it is `_UNFINISHED`."""
    bits, more = groups & 7, groups >> 3
    twos = (bits[1:] << 3) * more[:-1]
    twos |= bits[:-1]
    more = more[:-1] & more[1:]
    fours = twos[2:].astype(np.uint16)
    # At a number's end what follows counts no more.
    fours |= more[2:].astype(np.uint16) << 6
    fours *= more[:-2]
    fours <<= 6
    fours |= twos[:-2]
    return fours


def _pairs(numbers: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Where all pairs of run lengths begin, until an image of so many pixels is full or numbers end, or some beyond."""
    found: list[int] = []
    at, pixel, last = 0, 0, len(numbers) - 1
    values = numbers.data
    while at < last and pixel < size and len(found) < _STEPS:
        found.append(at)
        others = values[at + 1]
        pixel += values[at] + others
        at += 2 + others
    blocks = [np.array(found, np.int64)]
    # Where the steps have not come to the end, to that of the numbers, of which there are not many too many.
    while at < last and pixel < size:
        blocks.append(at + _pairs_of_block(numbers[at : at + _BLOCK]))
        at = int(blocks[-1][-1])
        at += 2 + values[at + 1]
    return np.concatenate(blocks)


def _pairs_of_block(numbers: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where all pairs begin, the first of them at 0: few steps over many pairs, then all of these at once."""
    end = len(numbers)
    # Were a pair at any of the numbers, the next would begin here; at `end` there is none any more.
    following = np.arange(2, end + 3)
    following[: end - 1] += numbers[1:]
    np.minimum(following, end, out=following)
    jumps = [following]
    for _ in range(_DOUBLINGS):
        jumps.append(jumps[-1].take(jumps[-1]))
    far, stop, places = jumps.pop().data, 0, []
    while stop < end - 1:
        places.append(stop)
        stop = far[stop]
    found = np.array(places, np.int64)
    for jump in reversed(jumps):
        found = np.stack([found, jump.take(found)], axis=1).ravel()
    return found[found < end - 1]
