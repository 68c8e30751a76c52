# The machines that hrd is locked for; sourced by lock.sh.
# name | Python | architecture | glibc | what it is
# shellcheck shell=bash disable=SC2034
TARGETS=(
    "jetpack4-cp38-aarch64|3.8|aarch64|2.27|Jetson Nano, JetPack 4.6.x (Ubuntu 18.04), Python 3.8 from apt"
    "jetpack6-cp310-aarch64|3.10|aarch64|2.35|Jetson Orin, JetPack 6 (Ubuntu 22.04)"
    "aarch64-cp311|3.11|aarch64|2.36|other 64-bit ARM boards with Debian 12; make test-aarch64"
    "x86-64-cp38|3.8|x86_64|2.28|host, Python 3.8"
    "x86-64-cp39|3.9|x86_64|2.28|host, Python 3.9"
    "x86-64-cp310|3.10|x86_64|2.28|host, Python 3.10"
    "aarch64-cp312|3.12|aarch64|2.39|64-bit ARM boards with Ubuntu 24.04"
    "x86-64-cp311|3.11|x86_64|2.28|host, Python 3.11; docker/Dockerfile.cpu"
    "x86-64-cp312|3.12|x86_64|2.28|host, Python 3.12"
    "x86-64-cp313|3.13|x86_64|2.28|host, Python 3.13"
)
# What the constraints cover: the runtime with ONNX Runtime on the CPU and its metrics.
LOCKED_EXTRAS=(cpu metrics)
