"""Film drawn people again with one odd camera: tinted light, and an encoder with few bits.

``hrd simulate faces`` draws people as a good camera sees them; ``python tools/odd_camera.py faces
odd`` makes the same data set of them as a cheap recorder under a coloured lamp leaves it, in the
same layout, which docs/recordings.md fine-tunes hrd for; ``--camera green`` as a dim room and 15
frames a second do.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Optional, Sequence, Tuple

import av
import numpy as np

from hrd.drawn_mark import MARK, RECIPE
from hrd.evaluation.layouts import natural


@dataclass(frozen=True)
class Camera:
    """``light``: what arrives of red, green and blue, of what a good camera got, linear.
    ``every``: of so many pictures one is filmed."""

    light: Tuple[float, float, float]
    codec: str
    bits_per_pixel: float
    every: int
    options: Tuple[Tuple[str, str], ...] = ()

    def table(self) -> np.ndarray:
        """(256, 3) uint8: what becomes of each value; values are light to the power of 1/2.2."""
        gain = np.array(self.light) ** (1.0 / 2.2)
        values: np.ndarray = np.clip(np.arange(256)[:, None] * gain, 0.0, 255.0).round()
        return values.astype(np.uint8)


CAMERAS = {
    # a lamp of some 2200 K; 276 kb/s at 640x480 and 30 frames a second
    "warm": Camera((1.0, 0.72, 0.42), "mpeg4", 0.03, 1, (("bf", "0"),)),
    # a greenish tube in a dim room, 15 frames a second; 184 kb/s at 640x480
    "green": Camera((0.25, 0.40, 0.27), "libx264", 0.04, 2, (("preset", "fast"),)),
}
GOP_FRAMES = 30


def film_again(source: Path, target: Path, camera: Camera) -> None:
    """Decode ``source``, give it the camera's light, encode it to ``target``."""
    table = camera.table()
    with av.open(str(source)) as film, av.open(str(target), "w", format="avi") as out:
        rate = Fraction(film.streams.video[0].average_rate) / camera.every
        out.metadata["comment"] = MARK
        stream = None
        for index, frame in enumerate(film.decode(video=0)):
            if index % camera.every:
                continue
            image = frame.to_ndarray(format="rgb24")
            if stream is None:
                stream = out.add_stream(camera.codec, rate=rate, options=dict(camera.options))
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                pixels = image.shape[0] * image.shape[1]
                stream.bit_rate = int(camera.bits_per_pixel * pixels * rate)
                stream.codec_context.gop_size = GOP_FRAMES
                stream.codec_context.thread_count = 1
            lit = np.stack([table[image[..., k], k] for k in range(3)], axis=-1)
            picture = av.VideoFrame.from_ndarray(lit, format="rgb24")
            picture.pts, picture.time_base = index // camera.every, 1 / rate
            out.mux(stream.encode(picture))
        if stream is None:
            raise SystemExit(f"{source} holds no picture")
        out.mux(stream.encode(None))


def truth_again(source: Path, target: Path, camera: Camera) -> None:
    """The reference of the pictures that were filmed."""
    rows = [line.split() for line in source.read_text(encoding="utf-8").splitlines()]
    kept = "".join(" ".join(row[:: camera.every]) + "\n" for row in rows)
    target.write_text(kept, encoding="utf-8")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, metavar="FACES", help="a folder of hrd simulate")
    parser.add_argument("out", type=Path, metavar="OUT", help="where to write; must not exist")
    parser.add_argument("--camera", choices=sorted(CAMERAS), default="warm", help="which (warm)")
    args = parser.parse_args(argv)
    camera = CAMERAS[args.camera]
    args.out.mkdir(parents=True)
    people = sorted(args.faces.glob("*/vid.avi"), key=lambda path: natural(path.parent.name))
    for film in people:
        folder = args.out / film.parent.name
        folder.mkdir()
        film_again(film, folder / film.name, camera)
        truth = film.with_name("ground_truth.txt")
        truth_again(truth, folder / truth.name, camera)
        recipe = json.loads(film.with_name(RECIPE).read_text(encoding="utf-8"))
        recipe.update(camera=args.camera, codec=camera.codec)
        (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    print(f"{len(people)} people in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
