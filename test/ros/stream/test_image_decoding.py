"""Every encoding, padding and byte order gives the right RGB, and nothing that is broken gives any."""

import struct

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from a2vis_ros.stream.image_decoding import ENCODINGS, EncodedImage, ImageError, RawImage, decode_rgb, image_size

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
MAX = 8192


def raw(pixels: NDArray[np.uint8] | NDArray[np.uint16], encoding: str, *, pad: int = 0, big: bool = False) -> RawImage:
    """An image message of these samples, [H, W] or [H, W, C], with `pad` bytes of rubbish behind each row."""
    order = ">" if big else "<"
    rows = [np.ascontiguousarray(row).astype(row.dtype.newbyteorder(order)).tobytes() for row in pixels]
    step = len(rows[0]) + pad
    data = b"".join(row + b"\xaa" * pad for row in rows)
    return RawImage(pixels.shape[0], pixels.shape[1], encoding, big, step, memoryview(data))


def rgb_of(image: RawImage | EncodedImage) -> NDArray[np.uint8]:
    assert image_size(image, max_side=MAX)
    return decode_rgb(image)


def with_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate((pixels, np.full((*pixels.shape[:2], 1), 77, np.uint8)), axis=2)


COLOUR = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "8UC3": RGB[..., ::-1],
    "rgba8": with_alpha(RGB),
    "bgra8": with_alpha(RGB[..., ::-1]),
    "8UC4": with_alpha(RGB[..., ::-1]),
}


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize("encoding", COLOUR)
def test_eight_bit_colour(encoding: str, pad: int) -> None:
    np.testing.assert_array_equal(rgb_of(raw(COLOUR[encoding], encoding, pad=pad)), RGB)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 6])
@pytest.mark.parametrize("name", ["rgb", "bgr", "rgba", "bgra"])
def test_sixteen_bit_colour_in_both_byte_orders(name: str, pad: int, big: bool) -> None:
    # The lower byte is noise, which must not show.
    samples = COLOUR[f"{name}8"].astype(np.uint16) * 256 + 13
    np.testing.assert_array_equal(rgb_of(raw(samples, f"{name}16", pad=pad, big=big)), RGB)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey(encoding: str) -> None:
    np.testing.assert_array_equal(rgb_of(raw(RGB[..., 0], encoding, pad=3)), np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_sixteen_bit_grey(encoding: str, big: bool) -> None:
    samples = RGB[..., 0].astype(np.uint16) * 256 + 200
    found = rgb_of(raw(samples, encoding, pad=2, big=big))
    np.testing.assert_array_equal(found, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv_in_both_orders(encoding: str, order: str) -> None:
    # Two neighbours share their colour: red, green, blue and grey in BT.601.
    colours = {
        (255, 0, 0): (82, 90, 240),
        (0, 255, 0): (145, 54, 34),
        (0, 0, 255): (41, 240, 110),
        (128,) * 3: (126, 128, 128),
    }
    samples = []
    for y, u, v in colours.values():
        samples += [[u, y], [v, y]] if order == "uyvy" else [[y, u], [y, v]]
    image = raw(np.array([samples] * 2, np.uint8), encoding, pad=4)
    expected = np.repeat(np.array(list(colours), np.int64), 2, axis=0)
    assert np.abs(rgb_of(image).astype(np.int64) - expected).max() <= 4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_are_not_mixed_up(pattern: str, bits: int) -> None:
    # A picture of one colour: whatever the interpolation, it comes out as it was.
    colour = {"r": 200, "g": 120, "b": 30}
    tile = np.array([[colour[pattern[0]], colour[pattern[1]]], [colour[pattern[2]], colour[pattern[3]]]])
    mosaic = np.tile(tile, (8, 8))
    samples = mosaic.astype(np.uint8) if bits == 8 else (mosaic * 256 + 99).astype(np.uint16)
    found = rgb_of(raw(samples, f"bayer_{pattern}{bits}", pad=2))
    assert found.reshape(-1, 3).tolist() == [[200, 120, 30]] * (16 * 16)


def test_every_encoding_decodes_to_the_right_shape() -> None:
    for encoding in ENCODINGS:
        image = RawImage(4, 6, encoding, False, 64, memoryview(bytes(4 * 64)))
        assert rgb_of(image).shape == (4, 6, 3), encoding


def test_the_last_row_needs_no_padding() -> None:
    image = raw(RGB, "rgb8", pad=9)
    short = RawImage(image.height, image.width, image.encoding, False, image.step, image.data[:-9])
    np.testing.assert_array_equal(rgb_of(short), RGB)


def test_cv_bridge_agrees_where_it_honours_padding() -> None:
    bridge = pytest.importorskip("cv_bridge", reason="cv_bridge is not installed here")
    image_type = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed here").Image
    for encoding, samples in COLOUR.items():
        image = raw(samples, encoding)
        message = image_type(height=image.height, width=image.width, encoding=encoding, step=image.step)
        message.data = bytes(image.data)
        theirs = bridge.CvBridge().imgmsg_to_cv2(message, "rgb8")
        np.testing.assert_array_equal(rgb_of(image), theirs)


def changed(image: RawImage, **changes: object) -> RawImage:
    return RawImage(**{**vars(image), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "cause", "words"),
    [
        ({"data": memoryview(b"")}, "truncated image", "0 bytes"),
        ({"data": memoryview(bytes(6 * 24 - 1))}, "truncated image", "143 bytes"),
        ({"step": 23}, "wrong step", "step is 23"),
        ({"step": 0}, "wrong step", "takes 24"),
        ({"step": 2**32 - 1}, "truncated image", "step of 4294967295"),
        ({"encoding": "32FC1"}, "unknown encoding", "'32FC1'"),
        ({"encoding": ""}, "unknown encoding", "rgb8"),
        ({"encoding": "x" * 100000}, "unknown encoding", "xxx"),
        ({"height": 0}, "empty image", "8x0"),
        ({"width": 0}, "empty image", "0x6"),
        ({"width": 20000}, "image too large", "max_image_side is 8192"),
        ({"height": 2**32 - 1}, "image too large", "4294967295"),
        ({"encoding": "yuv422", "width": 7}, "odd size", "even"),
        ({"encoding": "bayer_rggb8", "height": 5}, "odd size", "even"),
    ],
)
def test_broken_raw_images_are_refused_by_cause(changes: dict[str, object], cause: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as error:
        image_size(changed(raw(RGB, "rgb8"), **changes), max_side=MAX)
    assert error.value.cause == cause
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_compressed_images(format: str) -> None:
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(f".{format}", smooth[..., ::-1])[1].tobytes()
    image = EncodedImage(f"rgb8; {format} compressed bgr8", memoryview(data))
    assert image_size(image, max_side=MAX) == (48, 64)
    assert np.abs(decode_rgb(image).astype(np.int64) - smooth).mean() < (1 if format == "png" else 8)


def test_a_turned_camera_is_read_upright() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    plain = cv2.imencode(".jpeg", np.zeros((16, 32, 3), np.uint8))[1].tobytes()
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    image = EncodedImage("jpeg", memoryview(turned))
    assert decode_rgb(image).shape == (32, 16, 3)
    assert image_size(image, max_side=MAX) == (32, 16)


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"


@pytest.mark.parametrize(
    ("data", "format", "cause"),
    [
        (b"", "jpeg", "unknown encoding"),
        (b"GIF89a", "gif", "unknown encoding"),
        (b"\xff\xd8\xff", "jpeg", "truncated image"),
        (b"\xff\xd8" + b"\xff" * 1000, "jpeg", "truncated image"),
        (b"\xff\xd8\xff\xe0\0\0" * 9, "jpeg", "truncated image"),
        (png_header(60000, 60000), "png", "image too large"),
        (png_header(0, 10), "png", "empty image"),
        (b"\x89PNG\r\n\x1a\n", "png", "unknown encoding"),
        (b"anything", "16UC1; compressedDepth", "unknown encoding"),
    ],
)
def test_broken_compressed_images_are_refused_before_decoding(data: bytes, format: str, cause: str) -> None:
    with pytest.raises(ImageError) as error:
        image_size(EncodedImage(format, memoryview(data)), max_side=MAX)
    assert error.value.cause == cause


def test_a_compressed_image_cut_short_is_refused_or_decoded_but_never_crashes() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (40, 40, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    with pytest.raises(ImageError) as error:
        decode_rgb(EncodedImage("png", memoryview(data[:60])))
    assert error.value.cause == "broken image"


def jpeg_with(before_frame: bytes, size: tuple[int, int] = (48, 64)) -> bytes:
    """A JPEG of `size` (height, width) with something in front of its first segment."""
    data = cv2.imencode(".jpeg", np.zeros((*size, 3), np.uint8))[1].tobytes()
    return data[:2] + before_frame + data[2:]


def small_frame() -> bytes:
    """A segment with a start of frame of 16x16 in it, as its content."""
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 16, 16) + b"\x03" + bytes(9)
    return struct.pack(">H", len(frame) + 2) + frame


@pytest.mark.parametrize("marker", [0x01, *range(0xD0, 0xD8)])
def test_the_size_of_a_jpeg_is_the_one_that_is_decoded(marker: int) -> None:
    """After a marker that has no length, libjpeg reads on at once; a reader that skips a length sees another frame."""
    data = jpeg_with(bytes([0xFF, marker]))
    assert image_size(EncodedImage("jpeg", memoryview(data)), max_side=MAX) == (48, 64)
    hidden = jpeg_with(bytes([0xFF, marker]) + small_frame())
    image = EncodedImage("jpeg", memoryview(hidden))
    with pytest.raises(ImageError) as error:
        image_size(image, max_side=MAX)
    assert error.value.cause == "truncated image"


def test_a_decoded_size_that_was_not_announced_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_ros.stream import image_decoding

    image = EncodedImage("jpeg", memoryview(jpeg_with(b"")))
    monkeypatch.setattr(image_decoding, "_jpeg_size", lambda data: (16, 16))
    with pytest.raises(ImageError, match="says 16x16 pixels and holds 64x48") as error:
        decode_rgb(image)
    assert error.value.cause == "broken image"


def test_filling_bytes_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 MiB of them took 2.9 s one by one."""
    from a2vis_ros.stream import image_decoding

    searches = []

    class Counting:
        def match(self, data: memoryview, position: int) -> object:
            searches.append(position)
            return pattern.match(data, position)

    pattern = image_decoding._JPEG_MARKER
    monkeypatch.setattr(image_decoding, "_JPEG_MARKER", Counting())
    plain, filled = (EncodedImage("jpeg", memoryview(jpeg_with(b"\xff" * count))) for count in (0, 8 << 20))
    assert image_size(plain, max_side=MAX) == (48, 64)
    first = len(searches)
    assert image_size(filled, max_side=MAX) == (48, 64)
    assert len(searches) == 2 * first


def test_what_a_format_says_is_quoted_and_cut() -> None:
    hostile = "jpeg\n\x1b[31m[ERROR] " + "x" * 100_000
    for data in (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03" + bytes(20), b"neither"):
        with pytest.raises(ImageError) as error:
            decode_rgb(EncodedImage(hostile, memoryview(data)))
        assert "\n" not in str(error.value)
        assert "\x1b" not in str(error.value)
        assert len(str(error.value)) < 500
