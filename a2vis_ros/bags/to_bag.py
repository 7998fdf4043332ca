"""`to_bag`: a video file, a folder of images or a FISHBOWL clip as a bag, with its ground truth if there is any."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from a2vis_model import A2VISError
from a2vis_model.data.space_truth import read_depth
from a2vis_model.files.video_io import DamageLog

from ..node.messages import class_names_message, header_of, image_message, result_message
from ..stream.frames import Stamp
from ..stream.image_decoding import Pixels
from . import bag_files
from .bag_files import STORAGES, BagWriter, Storage
from .space_messages import write_space
from .video_source import Footage

_FORMATS = ("rgb8", "bgr8", "mono8", "jpeg", "png")


def write_bag(
    footage: Footage,
    output: str | Path,
    *,
    storage: Storage = "mcap",
    topic: str = "/image",
    frame_id: str = "camera",
    encoding: str = "rgb8",
    start_s: float = 1.0,
    loops: int = 1,
    damage: DamageLog | None = None,
) -> int:
    """Write footage to a new bag. That of a clip with `space.json` gets camera_info, depth, transforms and the true
    objects beside the images.

    Args:
        footage: what to write.
        output: the bag's folder.
        storage: mcap or sqlite3.
        topic: of the images; "/compressed" is added to it for jpeg and png.
        frame_id: of all headers.
        encoding: rgb8, bgr8, mono8, jpeg or png.
        start_s: stamp of the first image.
        loops: how often to write it; every loop has the same stamps, as a bag has that is played in a loop.
        damage: where damaged frames are noted; without it the first one raises.

    Returns:
        the number of images written.
    """
    count = 0
    compressed = encoding in ("jpeg", "png")
    topic = f"{topic}/compressed" if compressed else topic
    with BagWriter(output, storage) as bag:
        bag_time = round(start_s * 1e9)
        if footage.classes:
            names = class_names_message("ground truth", footage.classes)
            bag.write(bag_files.GROUND_TRUTH_CLASSES, names, bag_time)
        for _ in range(loops):
            for picture in footage.pictures(damage):
                stamp_ns = round((start_s + picture.seconds) * 1e9)
                # Times of the bag go on through all loops, at the same pace.
                bag_time = max(bag_time + 1, stamp_ns)
                header = header_of(Stamp(*divmod(stamp_ns, 10**9)), frame_id)
                if footage.space is not None and footage.directory is not None:
                    beside = topic.removesuffix("/compressed").rpartition("/")[0]
                    depth = read_depth(footage.directory, picture.index, footage.space)
                    write_space(bag, footage.space, depth, picture.index, header, beside, bag_time)
                bag.write(topic, _image(picture.image, header, encoding), bag_time)
                if picture.truth is not None:
                    bag.write(bag_files.GROUND_TRUTH, result_message(picture.truth, header, "ground truth"), bag_time)
                count += 1
    return count


def _image(image: Pixels, header: Header, encoding: str) -> Any:
    if encoding == "rgb8":
        return image_message(image, header, encoding)
    if encoding == "mono8":
        return image_message(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), header, encoding)
    bgr = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    if encoding == "bgr8":
        return image_message(bgr, header, encoding)
    message = CompressedImage(header=header, format=encoding)
    message.data.frombytes(cv2.imencode(f".{encoding}", bgr)[1].tobytes())
    return message


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    parser = argparse.ArgumentParser(prog="to_bag", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("input", help="video file, folder of images, or FISHBOWL clip (a folder with objects.json)")
    parser.add_argument("output", help="the bag's folder, which must not exist yet")
    parser.add_argument("--storage", choices=STORAGES, default="mcap", help="format of the bag (%(default)s)")
    parser.add_argument("--topic", default="/image", help="of the images; /compressed is added for jpeg and png")
    parser.add_argument("--frame-id", default="camera", help="of the headers (%(default)s)")
    parser.add_argument("--encoding", choices=_FORMATS, default="rgb8", help="of the images (%(default)s)")
    parser.add_argument("--rate", type=float, help="images a second (the video's own; 30 for images and clips)")
    parser.add_argument("--start", type=float, default=1.0, help="stamp of the first image in seconds (%(default)s)")
    parser.add_argument("--strict", action="store_true", help="stop at the first damaged frame")
    args = parser.parse_args(arguments)
    damage = DamageLog(args.input, strict=args.strict)
    try:
        if args.rate is not None and not 0.001 <= args.rate <= 10000:
            raise A2VISError(f"--rate {args.rate}: choose 0.001 to 10000 images a second")
        if not 0 <= args.start < 2**31:
            raise A2VISError(f"--start {args.start}: choose 0 to 2^31 seconds")
        footage = Footage.open(args.input, args.rate)
        count = write_bag(
            footage,
            os.path.expanduser(args.output),
            storage=args.storage,
            topic=args.topic,
            frame_id=args.frame_id,
            encoding=args.encoding,
            start_s=args.start,
            damage=damage,
        )
    except (A2VISError, OSError) as error:
        print(f"to_bag: {error}", file=sys.stderr)
        return 2
    if damage:
        print(f"to_bag: {damage.summary(count)}", file=sys.stderr)
    truth = f", ground truth of {len(footage.classes)} classes" if footage.classes else ""
    truth += ", camera_info, depth, transforms and true objects in space" if footage.space else ""
    print(f"wrote {count} images{truth} to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
