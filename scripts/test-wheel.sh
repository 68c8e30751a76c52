#!/usr/bin/env bash
# Install dist/hrd-*.whl in a clean environment, from an empty directory, and use it: nothing of the
# checkout may be needed. usage: scripts/test-wheel.sh [PYTHON]
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-$checkout/.venv/bin/python}
say() { printf 'wheel: %s\n' "$*"; }
# shellcheck disable=SC2012
wheel=$(ls -t "$checkout"/dist/hrd-*.whl | head -n 1)
folder=$(mktemp -d "${TMPDIR:-/tmp}/hrd-wheel-XXXXXX")
daemon=""
finish() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"

tag=$("$python" -c 'import sys, platform; print("%s-cp%d%d" % (
    platform.machine().replace("_", "-"), *sys.version_info[:2]))')
constraints=$checkout/constraints/$tag.txt
say "$("$python" --version), ${wheel##*/}[cpu,metrics], constraints/$tag.txt"
"$python" -m venv env
env/bin/python -m pip install -q --disable-pip-version-check --only-binary=:all: \
    -c "$constraints" "${wheel}[cpu,metrics]"
env/bin/python -m pip check
env/bin/python - <<'P'
import hrd, hrd.engine.card, hrd.service.unit
from pathlib import Path

package = Path(hrd.__file__).parent
assert package.parts[-3] != "main" and "site-packages" in package.parts, package
for path in (
    hrd.engine.card.models_dir() / "student.onnx",
    hrd.engine.card.models_dir() / "student.json",
    hrd.engine.card.models_dir() / "teacher.onnx",
    hrd.service.unit.units_dir() / "hrd.service",
    hrd.service.unit.units_dir() / "hrd.toml",
):
    assert path.is_file() and package in path.parents, path
P
say "models, unit and configuration come from the wheel"

read_72() { # what is said of it
    local socket=$folder/hrd.sock
    env/bin/hrd run --source sim:bpm=72 --socket "$socket" 2>"$folder/log" &
    daemon=$!
    env/bin/hrd watch --socket "$socket" --wait 120 --once --json --tracking --count 3 >"$folder/seen" ||
        { cat "$folder/log"; exit 1; }
    kill -TERM $daemon
    wait $daemon || { cat "$folder/log"; exit 1; }
    daemon=""
    env/bin/python - "$folder/seen" "$1" <<'P'
import json, sys

readings = [json.loads(line) for line in open(sys.argv[1])]
bpm = [item["bpm"] for item in readings if "bpm" in item]
assert len(bpm) == 3 and all(abs(value - 72) < 3 for value in bpm), readings
print("wheel:", sys.argv[2], "reads", ", ".join("%.1f" % value for value in bpm), "bpm")
P
}
read_72 "hrd run --source sim:bpm=72, from $folder,"
say "without the extra cpu: POS takes the network's place"
env/bin/python -m pip uninstall -q -y onnxruntime
read_72 "hrd run without ONNX Runtime"
grep -m 1 -io 'ONNX Runtime cannot be loaded' "$folder/log" >/dev/null ||
    { say "the log does not say why"; cat "$folder/log"; exit 1; }
say "passed"
