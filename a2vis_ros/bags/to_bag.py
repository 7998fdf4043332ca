"""`to_bag`: converts a video file, a folder of images or a FISHBOWL video with its ground truth to a bag."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from a2vis_model import A2VISError
from a2vis_model.data.problems import add_strict_argument
from a2vis_model.data.space_truth import read_depth
from a2vis_model.files.home import arguments_at_home, at_home
from a2vis_model.files.video_io import DamageLog

from ..node.messages import class_names_message, header_of, image_message, result_message
from ..stream.frames import Stamp
from ..stream.image_decoding import Pixels
from . import bag_files
from .bag_files import STORAGES, BagWriter, Storage
from .space_messages import write_space
from .video_source import AnnotatedVideo

_FORMATS = ("rgb8", "bgr8", "mono8", "jpeg", "png")


def write_bag(
    video: AnnotatedVideo,
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
    """Write a video to a new bag.

    A video with `space.json` gets camera_info, depth, transforms and the true objects beside the images.

    Args:
        video: the video to write.
        output: folder of the bag.
        storage: mcap or sqlite3.
        topic: topic of the images; "/compressed" is added to it for jpeg and png.
        frame_id: frame_id of all headers.
        encoding: rgb8, bgr8, mono8, jpeg or png.
        start_s: stamp of the first image in seconds.
        loops: number of times it is written; every loop has the same stamps, like a bag that is played in a loop.
        damage: log for damaged frames; without it the first one raises.

    Returns:
        The number of images written.
    """
    count = 0
    compressed = encoding in ("jpeg", "png")
    topic = f"{topic}/compressed" if compressed else topic
    with BagWriter(output, storage) as bag:
        bag_time = round(start_s * 1e9)
        if video.classes:
            names = class_names_message("ground truth", video.classes)
            bag.write(bag_files.GROUND_TRUTH_CLASSES, names, bag_time)
        for _ in range(loops):
            for picture in video.frames(damage):
                stamp_ns = round((start_s + picture.seconds) * 1e9)
                # The bag's own times increase through all loops, at the same pace.
                bag_time = max(bag_time + 1, stamp_ns)
                header = header_of(Stamp(*divmod(stamp_ns, 10**9)), frame_id)
                if video.space is not None and video.directory is not None:
                    beside = topic.removesuffix("/compressed").rpartition("/")[0]
                    depth = read_depth(video.directory, picture.index, video.space)
                    write_space(bag, video.space, depth, picture.index, header, beside, bag_time)
                bag.write(topic, _image(picture.image, header, encoding), bag_time)
                if picture.truth is not None:
                    truth = result_message(picture.truth, header, "ground truth", picture.motions)
                    bag.write(bag_files.GROUND_TRUTH, truth, bag_time)
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
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="to_bag", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("input", help="video file, folder of images, or FISHBOWL video (a folder with objects.json)")
    parser.add_argument("output", help="the bag's folder, which must not exist yet")
    parser.add_argument("--storage", choices=STORAGES, default="mcap", help="format of the bag (%(default)s)")
    parser.add_argument("--topic", default="/image", help="topic of the images; /compressed is added for jpeg and png")
    parser.add_argument("--frame-id", default="camera", help="frame_id of the headers (%(default)s)")
    parser.add_argument("--encoding", choices=_FORMATS, default="rgb8", help="encoding of the images (%(default)s)")
    parser.add_argument("--rate", type=float, help="images per second (the video's own; 30 for images and FISHBOWL)")
    parser.add_argument("--start", type=float, default=1.0, help="stamp of the first image in seconds (%(default)s)")
    add_strict_argument(parser)
    args = parser.parse_args(arguments_at_home(arguments))
    damage = DamageLog(args.input, strict=args.strict)
    try:
        if args.rate is not None and not 0.001 <= args.rate <= 10000:
            raise A2VISError(f"--rate {args.rate}: choose 0.001 to 10000 images a second")
        if not 0 <= args.start < 2**31:
            raise A2VISError(f"--start {args.start}: choose 0 to 2^31 seconds")
        if not args.frame_id.isprintable():
            raise A2VISError(f"--frame-id {args.frame_id}: choose a text in UTF-8 without control characters")
        video = AnnotatedVideo.open(args.input, args.rate)
        with damage.told("to_bag"):
            count = write_bag(
                video,
                at_home(args.output),
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
    truth = f", ground truth of {len(video.classes)} classes" if video.classes else ""
    truth += ", camera_info, depth, transforms and true objects in space" if video.space else ""
    print(f"wrote {count} images{truth} to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
