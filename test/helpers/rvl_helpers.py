"""RVL images, written and read one number at a time."""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def groups_of(value: int) -> list[int]:
    """A number's groups of 4 bits."""
    groups = []
    while True:
        value, low = value >> 3, value & 7
        groups.append(low | (8 if value else 0))
        if not value:
            return groups


def packed(groups: Sequence[int]) -> bytes:
    """Words of 32 bits, filled up with zeros."""
    padded = [*groups, *[0] * (-len(groups) % 8)]
    words = [sum(group << (28 - 4 * k) for k, group in enumerate(padded[j : j + 8])) for j in range(0, len(padded), 8)]
    return struct.pack(f"<{len(words)}I", *words)


def coded(pixels: Iterable[int]) -> list[int]:
    """The groups of an image, by an encoder after the paper."""
    pixels, groups, i, last = list(pixels), [], 0, 0
    while i < len(pixels):
        start = i
        while i < len(pixels) and not pixels[i]:
            i += 1
        groups += groups_of(i - start)
        start = i
        while i < len(pixels) and pixels[i]:
            i += 1
        groups += groups_of(i - start)
        for value in pixels[start:i]:
            delta, last = value - last, value
            groups += groups_of((delta << 1) ^ (delta >> 31))
    return groups


def rvl(samples: NDArray[np.uint16]) -> bytes:
    """The data of a compressedDepth message."""
    height, width = samples.shape
    return struct.pack("<iffii", 0, 0, 0, width, height) + packed(coded(samples.ravel().tolist()))


def decoded(words: bytes, size: int) -> NDArray[np.uint16] | str:
    """The pixels by a decoder that goes from run to run, or a word of what is wrong."""
    numbers, value, place = [], 0, 0
    for (word,) in struct.iter_unpack("<I", words):
        for shift in range(28, -1, -4):
            group = word >> shift & 15
            value |= (group & 7) << place
            place += 3
            if group < 8:
                if place > 33:
                    return "32 bits"
                numbers.append(value)
                value = place = 0
    samples = np.zeros(size, np.uint16)
    pixel = at = last = 0
    while pixel < size:
        if at + 1 >= len(numbers):
            return "cut short"
        zeros, others = numbers[at], numbers[at + 1]
        pixel, at = pixel + zeros, at + 2
        if pixel + others > size or at + others > len(numbers) or zeros + others == 0:
            return "do not fit"
        for number in numbers[at : at + others]:
            last += (number >> 1) ^ -(number & 1)
            samples[pixel] = last & 0xFFFF
            pixel += 1
        at += others
    return samples
