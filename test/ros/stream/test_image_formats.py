"""Compressed images by their `format`, and 16-bit images of cameras with fewer bits: what is read, and what is said."""

import cv2
import numpy as np
import pytest

from a2vis_ros.stream.image_decoding import EncodedImage, ImageDecoder, ImageError, RawImage, decode_rgb

SMOOTH = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC
)
"""RGB."""
NOISY = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def compressed(image: np.ndarray, format: str) -> EncodedImage:
    codec = "png" if "png" in format else "jpeg"
    return EncodedImage(format, memoryview(cv2.imencode(f".{codec}", image)[1].tobytes()))


def mosaic(rgb: np.ndarray) -> np.ndarray:
    """What a camera with the pattern RGGB sees."""
    seen = rgb[..., 1].copy()
    seen[::2, ::2] = rgb[::2, ::2, 0]
    seen[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return seen


@pytest.mark.parametrize("bits", [8, 16])
def test_a_compressed_bayer_image_is_coloured_by_its_format(bits: int) -> None:
    seen = mosaic(SMOOTH)
    stored = seen.astype(np.uint16) << 8 if bits == 16 else seen
    found = decode_rgb(compressed(stored, f"bayer_rggb{bits}; png compressed "))
    assert np.abs(found.astype(int) - SMOOTH)[2:-2, 2:-2].mean() < 6
    grey = decode_rgb(compressed(seen, "mono8; png compressed "))
    np.testing.assert_array_equal(grey, np.repeat(seen[..., None], 3, axis=2))


def test_a_compressed_bayer_image_of_odd_size_is_refused() -> None:
    with pytest.raises(ImageError, match="bayer_rggb8 has even sides only"):
        decode_rgb(compressed(mosaic(SMOOTH)[:-1], "bayer_rggb8; png compressed "))


@pytest.mark.parametrize("format", ["mono16; png compressed ", "16UC1; png compressed ", "png"])
def test_a_compressed_image_of_16_bits_is_read_by_its_depth(format: str) -> None:
    twelve = SMOOTH[..., 0].astype(np.uint16) << 4
    image = compressed(twelve, format)
    np.testing.assert_array_equal(decode_rgb(image, bits_per_sample=12)[..., 1], SMOOTH[..., 0])
    np.testing.assert_array_equal(decode_rgb(image)[..., 1], SMOOTH[..., 0] >> 4)


def test_a_compressed_colour_image_of_16_bits_keeps_its_colours() -> None:
    image = compressed(SMOOTH[..., ::-1].astype(np.uint16) << 8, "rgb16; png compressed bgr16")
    np.testing.assert_array_equal(decode_rgb(image), SMOOTH)


@pytest.mark.parametrize("big", [False, True])
def test_twelve_bits_in_a_raw_image(big: bool) -> None:
    samples = (SMOOTH[..., 0].astype(np.uint16) << 4).astype(">u2" if big else "<u2")
    image = RawImage(48, 64, "mono16", big, 128, memoryview(samples.tobytes()))
    np.testing.assert_array_equal(decode_rgb(image, bits_per_sample=12)[..., 0], SMOOTH[..., 0])
    too_bright = RawImage(48, 64, "mono16", big, 128, memoryview((samples * 2).astype(samples.dtype).tobytes()))
    assert decode_rgb(too_bright, bits_per_sample=12).max() == 255


def mono16(brightest: int) -> RawImage:
    return RawImage(2, 2, "mono16", False, 4, memoryview(np.full((2, 2), brightest, "<u2").tobytes()))


def test_it_is_said_once_that_the_upper_bits_are_never_used() -> None:
    said: list[str] = []
    decoder = ImageDecoder(bits_per_sample=16, say=said.append, on_damage=said.append)
    for _ in range(100):
        decoder.decode(mono16(4095))
    assert len(said) == 1
    assert "no pixel of 30 16-bit images passed 4095" in said[0]
    assert "bits_per_sample" in said[0]


@pytest.mark.parametrize(("bits", "brightest"), [(16, 4096), (12, 4095)])
def test_nothing_is_said_of_images_that_use_their_bits(bits: int, brightest: int) -> None:
    said: list[str] = []
    decoder = ImageDecoder(bits_per_sample=bits, say=said.append, on_damage=said.append)
    for _ in range(40):
        decoder.decode(mono16(brightest))
    assert not said


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("rgb8; jpeg compressed bgr8", 0),
        ("jpeg", 0),
        ("mono8; jpeg compressed ", 0),
        ("rgb8; jpeg compressed ", 1),
        ("rgb8; jpeg compressed rgb8", 1),
        ("bgr8; jpeg compressed ", 1),
    ],
)
def test_it_is_said_once_where_the_order_of_a_jpegs_channels_is_open(format: str, words: int) -> None:
    said: list[str] = []
    decoder = ImageDecoder(bits_per_sample=16, say=said.append, on_damage=said.append)
    for _ in range(3):
        found = decoder.decode(compressed(SMOOTH[..., ::-1], format))
    assert np.abs(found.astype(int) - SMOOTH).mean() < 8
    assert len(said) == words


def test_a_jpeg_that_is_damaged_in_the_middle_is_used_and_said_each_time() -> None:
    said: list[str] = []
    damaged: list[str] = []
    decoder = ImageDecoder(bits_per_sample=16, say=said.append, on_damage=damaged.append)
    whole = bytes(cv2.imencode(".jpeg", NOISY, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    middle = len(whole) // 2
    broken = whole[:middle] + whole[middle + 100 :]
    for content in (whole, broken, whole, broken):
        found = decoder.decode(EncodedImage("bgr8; jpeg compressed bgr8", memoryview(content)))
        assert found.shape == NOISY.shape
    assert not said
    assert len(damaged) == 2
    assert damaged[0].startswith("an image of format 'bgr8; jpeg compressed bgr8' is damaged (")


def test_half_a_jpeg_is_dropped_by_cause() -> None:
    whole = bytes(compressed(SMOOTH[..., ::-1], "jpeg").data)
    with pytest.raises(ImageError, match="cut short") as error:
        decode_rgb(EncodedImage("jpeg", memoryview(whole[: len(whole) * 2 // 3])))
    assert error.value.cause == "truncated image"
