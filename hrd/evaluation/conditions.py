"""What the frozen test set consists of: difficulties, seeds, kinds, and conditions of the clips."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, Tuple

SECONDS = 30.5
"""Length of a clip: three whole windows of 10 s and one of 30 s."""

EASY, TYPICAL, HARD, NO_PULSE = "easy", "typical", "hard", "no-pulse"
LOW_BITRATE, STEP, RAMP, CAMERAS = "low-bitrate", "step", "ramp", "cameras"
DIFFICULTIES = (EASY, TYPICAL, HARD)
"""What a heart-rate error is given for."""
ALL = (*DIFFICULTIES, LOW_BITRATE, NO_PULSE, STEP, RAMP, CAMERAS)
"""LOW_BITRATE: typical but for its codecs, as cheap recorders compress. STEP, RAMP and CAMERAS
are easy but for one thing each: a rate that jumps by 20 bpm, a rate that runs at 30 bpm a minute,
and cameras of every frame rate that jitter and drop frames."""

SEEDS_EACH = 10_000
FIRST_SEED = {
    EASY: 0,
    TYPICAL: 10_000,
    HARD: 20_000,
    NO_PULSE: 30_000,
    STEP: 50_000,  # painted faces have those from 40,000
    RAMP: 60_000,
    CAMERAS: 70_000,
    LOW_BITRATE: 80_000,
}

STEP_AT_S = 25.0
STEP_BPM = 20.0
STEPS_FROM_BPM = (60.0, 90.0, 75.0, 110.0, 130.0, 100.0)
"""Rate before the step of clip k, in turn; it goes up in even clips and down in odd ones."""
RAMP_START_S = 20.0
RAMP_BPM_PER_MIN = 30.0
RAMPS_BPM = ((60.0, 85.0), (110.0, 85.0), (80.0, 105.0), (140.0, 115.0))
LASTING_S = {NO_PULSE: 20.5, STEP: 45.5, RAMP: 75.5}
"""Length of a clip that is not of the common length."""
CAMERA_FPS = (15.0, 20.0, 24.9, 30.0, 60.0)
CAMERA_BPM = (45.0, 61.0, 82.0, 111.0, 149.0, 200.0)
"""Clip k of CAMERAS: every frame rate with every heart rate, a few bpm apart from clip to clip."""
CAMERA_JITTER, CAMERA_DROPS = 0.2, 0.1
LOW_BITRATE_CODECS = ("mpeg4", "h264", "h265")
"""Codec of clip k of LOW_BITRATE, in turn, so that every skin group and rate band meets each."""
LOW_BITRATE_BPP = (0.03, 0.3)
"""Bits per pixel about the face: of the 150 to 600 kb/s of a recorder at 640x480 nearly all go
there, because the room behind it does not move. Half of the clips have such a limit; the others
have a constant quality: LOW_BITRATE_QUANTISER (MPEG-4 part 2), LOW_BITRATE_CRF (the others)."""
LOW_BITRATE_QUANTISER, LOW_BITRATE_CRF = (3, 10), (21, 28)
LOW_BITRATE_GOPS = (12, 30, 60, 250)

SKIN_GROUPS = (1, 2, 3, 4, 5, 6)
BANDS_BPM = ((60, 90), (45, 60), (60, 90), (90, 120), (60, 90), (120, 175))
"""Rate band of clip k, in turn (each for six clips, one of every skin group)."""

KINDS = (
    "still face",
    "moving face",
    "nodding in the band",
    "photograph",
    "photograph held in a hand",
    "pulsing light on a face",
    "pulsing light on a photograph",
    "flickering screen",
    "exposure hunting",
    "talking",
    "face on a noisy screen",
    "face bobbing 40 to 60 a minute",
    "face swaying 40 to 60 a minute",
    "photograph rocked 40 to 60 a minute",
    "still face at a low bit rate",
    "photograph at a low bit rate",
    "white balance hunting",
)
"""What clip k of NO_PULSE shows, in turn."""

Range = Tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    """One difficulty: ranges (low, high) are drawn from log-uniformly, shares are 0..1.

    ``sway``: rms movement of the head, face widths; ``turn``: rms rotation, radians; ``shift``:
    size of changes of posture, face widths; ``nod``: amplitude of periodic nodding inside the
    heart-rate band, face widths; ``light``: rms of slow changes of exposure, relative; ``jolt``:
    size of exposure jumps; ``screen``: steps of a screen's light on the face; ``brightness``: of
    the lamp; ``dim_dark_share``: share of the clips of skin groups 5 and 6 that are in dim light
    on top; ``green_ac``: peak-to-peak pulse over mean, green, on light skin; ``face_px``: width
    of the face in the picture; ``jpeg``, ``crf``: quality; ``raw``: share without compression;
    ``low_bitrate``: share of the codecs of cheap recorders (LOW_BITRATE_CODECS); ``runs_share``:
    share of hearts whose rate runs by up to 20 bpm.
    """

    sway: Range
    turn: Range
    shift: Range
    shift_share: float
    nod: Range
    nod_share: float
    talk_share: float
    light: Range
    jolt: Range
    jolt_share: float
    screen: Range
    screen_share: float
    brightness: Range
    dim_dark_share: float
    green_ac: Range
    read_noise: Range
    shot_noise: Range
    face_px: Range
    raw: float
    h264: float
    jpeg: Tuple[int, int]
    crf: Tuple[int, int]
    fps: Tuple[float, ...]
    jitter: float
    drops: float
    low_bitrate: float = 0.0
    runs_share: float = 0.0


CONDITIONS: Dict[str, Conditions] = {
    EASY: Conditions(
        sway=(0.001, 0.004),
        turn=(0.002, 0.01),
        shift=(0.01, 0.02),
        shift_share=0.0,
        nod=(0.003, 0.006),
        nod_share=0.0,
        talk_share=0.0,
        light=(0.0004, 0.0025),
        jolt=(0.005, 0.01),
        jolt_share=0.0,
        screen=(0.002, 0.006),
        screen_share=0.1,
        brightness=(0.75, 1.05),
        dim_dark_share=0.0,
        green_ac=(0.005, 0.012),
        read_noise=(0.6, 1.6),
        shot_noise=(0.005, 0.03),
        face_px=(110.0, 180.0),
        raw=0.6,
        h264=0.0,
        jpeg=(85, 95),
        crf=(18, 20),
        fps=(30.0,),
        jitter=0.02,
        drops=0.0,
    ),
    TYPICAL: Conditions(
        sway=(0.002, 0.008),
        turn=(0.004, 0.025),
        shift=(0.02, 0.06),
        shift_share=0.5,
        nod=(0.003, 0.008),
        nod_share=0.1,
        talk_share=0.25,
        light=(0.0006, 0.004),
        jolt=(0.01, 0.03),
        jolt_share=0.2,
        screen=(0.003, 0.01),
        screen_share=0.2,
        brightness=(0.55, 1.05),
        dim_dark_share=0.0,
        green_ac=(0.005, 0.012),
        read_noise=(0.6, 2.0),
        shot_noise=(0.005, 0.04),
        face_px=(90.0, 170.0),
        raw=0.25,
        h264=0.1,
        jpeg=(70, 92),
        crf=(17, 21),
        fps=(30.0, 30.0, 25.0, 20.0),
        jitter=0.08,
        drops=0.01,
        runs_share=0.2,
    ),
    HARD: Conditions(
        sway=(0.006, 0.02),
        turn=(0.015, 0.08),
        shift=(0.04, 0.14),
        shift_share=0.7,
        nod=(0.005, 0.02),
        nod_share=0.4,
        talk_share=0.5,
        light=(0.0015, 0.01),
        jolt=(0.015, 0.06),
        jolt_share=0.5,
        screen=(0.006, 0.025),
        screen_share=0.4,
        brightness=(0.4, 0.95),
        dim_dark_share=0.5,
        green_ac=(0.004, 0.010),
        read_noise=(1.0, 3.0),
        shot_noise=(0.01, 0.06),
        face_px=(80.0, 160.0),
        raw=0.0,
        h264=0.3,
        jpeg=(55, 80),
        crf=(20, 26),
        fps=(30.0, 25.0, 20.0, 15.0),
        jitter=0.15,
        drops=0.02,
        runs_share=0.3,
    ),
}


CONDITIONS[LOW_BITRATE] = dataclasses.replace(
    CONDITIONS[TYPICAL], raw=0.0, h264=0.0, low_bitrate=1.0, fps=(30.0, 25.0, 20.0, 15.0)
)


def conditions_of(difficulty: str, k: int) -> Conditions:
    """Under which conditions clip ``k`` of a difficulty is taken."""
    if difficulty in CONDITIONS:
        return CONDITIONS[difficulty]
    if difficulty == NO_PULSE:
        return CONDITIONS[TYPICAL]
    if difficulty == CAMERAS:
        fps = CAMERA_FPS[k % len(CAMERA_FPS)]
        return dataclasses.replace(
            CONDITIONS[EASY], fps=(fps,), jitter=CAMERA_JITTER, drops=CAMERA_DROPS
        )
    return CONDITIONS[EASY]
