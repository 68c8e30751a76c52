"""hrd: a real-time heart-rate daemon for NVIDIA Jetson Nano."""

__version__ = "0.1.0"
