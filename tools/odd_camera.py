"""Film drawn people again with one odd camera: tinted light, and an encoder with few bits.

``hrd simulate faces`` draws people as a good camera sees them; ``python tools/odd_camera.py faces
odd`` makes the same data set of them as a cheap recorder under a coloured lamp leaves it, in the
same layout. docs/recordings.md fine-tunes hrd for such a camera.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Optional, Sequence

import av
import numpy as np

from hrd.drawn_mark import MARK, RECIPE
from hrd.evaluation.layouts import natural

TINT = (1.0, 0.72, 0.42)
"""What the lamp gives of red, green and blue: a warm white of some 2200 K."""

BITS_PER_PIXEL, GOP_FRAMES = 0.03, 30
"""MPEG-4 part 2: 276 kb/s at 640x480 and 30 frames a second."""


def film_again(source: Path, target: Path) -> None:
    """Decode ``source``, tint it, encode it to ``target``."""
    # 8-bit values are light to the power of 1/2.2
    tint = np.array(TINT) ** (1.0 / 2.2)
    table = np.clip(np.arange(256)[:, None] * tint, 0.0, 255.0).round().astype(np.uint8)
    with av.open(str(source)) as film, av.open(str(target), "w", format="avi") as out:
        rate = Fraction(film.streams.video[0].average_rate)
        out.metadata["comment"] = MARK
        stream = None
        for index, frame in enumerate(film.decode(video=0)):
            image = frame.to_ndarray(format="rgb24")
            if stream is None:
                stream = out.add_stream("mpeg4", rate=rate, options={"bf": "0"})
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.bit_rate = int(BITS_PER_PIXEL * image.shape[0] * image.shape[1] * rate)
                stream.codec_context.gop_size = GOP_FRAMES
                stream.codec_context.thread_count = 1
            tinted = np.stack([table[image[..., k], k] for k in range(3)], axis=-1)
            picture = av.VideoFrame.from_ndarray(tinted, format="rgb24")
            picture.pts, picture.time_base = index, 1 / rate
            out.mux(stream.encode(picture))
        if stream is None:
            raise SystemExit(f"{source} holds no picture")
        out.mux(stream.encode(None))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, metavar="FACES", help="a folder of hrd simulate")
    parser.add_argument("out", type=Path, metavar="OUT", help="where to write; must not exist")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True)
    people = sorted(args.faces.glob("*/vid.avi"), key=lambda path: natural(path.parent.name))
    for film in people:
        folder = args.out / film.parent.name
        folder.mkdir()
        film_again(film, folder / film.name)
        shutil.copy(film.with_name("ground_truth.txt"), folder)
        recipe = json.loads(film.with_name(RECIPE).read_text(encoding="utf-8"))
        recipe.update(tint=TINT, codec="mpeg4", bits_per_pixel=BITS_PER_PIXEL)
        (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    print(f"{len(people)} people in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
