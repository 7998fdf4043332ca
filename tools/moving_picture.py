"""Make a moving picture for a page out of a video, such as the overlay.mp4 of `a2vis predict`.

.venv/bin/python tools/moving_picture.py out/overlay.mp4 docs/images/onboard.webp --start 0.3 --seconds 5
"""

import argparse
import sys
from pathlib import Path

import cv2
from PIL import Image

from a2vis_model.files.atomic import replacing
from a2vis_model.files.video_io import DamageLog, VideoInput


def main() -> int:
    """Write an animated WebP of a part of the video; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("video", type=Path, help="video file")
    parser.add_argument("picture", type=Path, help="animated WebP to write")
    parser.add_argument("--start", type=float, default=0.0, help="seconds of the video before the first frame")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of the video that are taken (%(default)s)")
    parser.add_argument("--width", type=int, default=480, help="pixels (%(default)s)")
    parser.add_argument("--rate", type=float, default=12.0, help="frames a second of the picture (%(default)s)")
    parser.add_argument("--quality", type=int, default=60, help="of WebP, 0 to 100 (%(default)s)")
    args = parser.parse_args()
    frames: list[Image.Image] = []
    for seconds, image in VideoInput.open(args.video).frames(DamageLog(str(args.video))):
        if seconds >= args.start + args.seconds:
            break
        if seconds >= args.start + len(frames) / args.rate:
            height = round(args.width * image.shape[0] / image.shape[1])
            frames.append(Image.fromarray(cv2.resize(image, (args.width, height), interpolation=cv2.INTER_AREA)))
    if not frames:
        print(f"moving_picture: --start {args.start:g}: {args.video} is shorter", file=sys.stderr)
        return 2
    options = {"duration": round(1000 / args.rate), "loop": 0, "quality": args.quality, "method": 6}
    with replacing(args.picture) as part:
        frames[0].save(part, format="WEBP", save_all=True, append_images=frames[1:], **options)
    print(f"{len(frames)} frames, {args.picture.stat().st_size / 1e6:.2f} MB: {args.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
