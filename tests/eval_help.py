"""Tiny data sets in the layouts of the public ones, for the tests of the evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional, Sequence

import av
import cv2
import numpy as np
from scipy.io import savemat

from tests.fakes import skin_frame
from tests.needs import needs

h5py = needs("h5py")

PPG_HZ = 60.0


def wave(times_s: np.ndarray, bpm: float) -> np.ndarray:
    """A pulse wave with a second harmonic."""
    angle = 2.0 * np.pi * bpm / 60.0 * times_s
    return np.sin(angle) + 0.3 * np.sin(2.0 * angle + 0.5)


def skin(seconds: float, bpm: Optional[float], fps: float = 30.0) -> np.ndarray:
    """(T, 160, 160, 3) uint8: beating skin."""
    return np.stack([skin_frame(k, k / fps, bpm).image for k in range(int(seconds * fps))])


def write_avi(path: Path, pictures: np.ndarray, fps: int = 30) -> None:
    """Lossless, as the public sets' are (or nearly)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=fps)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "bgr24"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_ubfc_2(root: Path, name: str, pictures: np.ndarray, bpm: float, seconds: float) -> Path:
    folder = root / name
    write_avi(folder / "vid.avi", pictures)
    times_s = np.arange(int(seconds * 30)) / 30.0
    rows = (wave(times_s, bpm), np.full(len(times_s), bpm + 1.0), times_s)
    text = "\n".join("  ".join(f"{value: .7e}" for value in row) for row in rows)
    (folder / "ground_truth.txt").write_text(text + "\n")
    return folder


def write_ubfc_1(root: Path, name: str, pictures: np.ndarray, bpm: float, seconds: float) -> Path:
    folder = root / name
    write_avi(folder / "vid.avi", pictures)
    times_s = np.arange(int(seconds * PPG_HZ)) / PPG_HZ
    lines = [
        f"{1000 * t:.0f},{bpm:.0f},98,{value:.5f}" for t, value in zip(times_s, wave(times_s, bpm))
    ]
    (folder / "gtdump.xmp").write_text("\n".join(lines) + "\n")
    return folder


def write_pure(root: Path, name: str, pictures: np.ndarray, bpm: float, seconds: float) -> Path:
    folder = root / name
    (folder / name).mkdir(parents=True)
    start_ns = 1_392_643_993_642_815_000
    for index, picture in enumerate(pictures):
        path = folder / name / f"Image{start_ns + int(index * 1e9 / 30)}.png"
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    # the oximeter starts half a second before the camera
    times_s = np.arange(int((seconds + 0.5) * PPG_HZ)) / PPG_HZ - 0.5
    content = {
        "/FullPackage": [
            {
                "Timestamp": start_ns + int(t * 1e9),
                "Value": {"waveform": float(value), "pulseRate": bpm, "o2saturation": 97},
            }
            for t, value in zip(times_s, wave(times_s, bpm))
        ],
        "/Image": [{"Timestamp": start_ns, "Value": {}}],
    }
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_cohface(
    root: Path, subject: str, session: str, pictures: np.ndarray, bpm: float, seconds: float
) -> Path:
    folder = root / subject / session
    write_avi(folder / "data.avi", pictures, fps=20)
    times_s = np.arange(int(seconds * 256)) / 256.0
    with h5py.File(folder / "data.hdf5", "w") as file:
        file["pulse"] = wave(times_s, bpm)
        file["respiration"] = np.sin(times_s)
        file["time"] = times_s
    return folder


def write_ubfc_phys(
    root: Path, subject: str, task: str, pictures: np.ndarray, bpm: float, seconds: float
) -> Path:
    folder = root / subject
    write_avi(folder / f"vid_{subject}_{task}.avi", pictures)
    values = wave(np.arange(int(seconds * 64)) / 64.0, bpm)
    text = "\n".join(f"{value:.6f}" for value in values)
    (folder / f"bvp_{subject}_{task}.csv").write_text(text + "\n")
    return folder


def write_mmpd(
    root: Path, subject: int, index: int, pictures: np.ndarray, bpm: float, skin_tone: int = 3
) -> Path:
    path = root / f"subject{subject}" / f"p{subject}_{index}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(
        str(path),
        {
            "video": pictures.astype(np.float32) / 255.0,
            "GT_ppg": wave(np.arange(len(pictures)) / 30.0, bpm)[None, :],
            "light": "LED-low",
            "motion": "Watching Videos",
            "exercise": "False",
            "skin_color": np.array([[skin_tone]]),
            "gender": "male",
            "glasser": "False",
            "hair_cover": "False",
            "makeup": "False",
        },
        do_compression=True,
    )
    return path


def write_scamps(root: Path, number: int, pictures: np.ndarray, bpm: float, key: str) -> Path:
    """As MATLAB writes a [t, h, w, c] array: HDF5 shows the axes reversed, behind a header."""
    path = root / f"P{number:06d}.mat"
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        file[key] = pictures.transpose(3, 2, 1, 0).astype(np.float64) / 255.0
        file["d_ppg"] = wave(np.arange(len(pictures)) / 30.0, bpm)[:, None]
    header = b"MATLAB 7.3 MAT-file, written by a test"
    with open(path, "r+b") as raw:
        raw.write(header.ljust(124) + b"\x00\x02IM")
    return path


def small(count: int, size: Sequence[int] = (24, 32)) -> np.ndarray:
    """(T, 24, 32, 3) uint8 pictures that tell time, rows, columns and colours apart."""
    pictures = np.zeros((count, *size, 3), np.uint8)
    pictures[..., 0] = 40 + np.arange(size[0])[:, None]
    pictures[..., 1] = 100 + np.arange(size[1])[None, :]
    pictures[..., 2] = (5 * np.arange(count) % 200)[:, None, None]
    return pictures
