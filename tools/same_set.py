"""Compare what pip resolved with a constraints file. usage: same_set.py REPORT.json CONSTRAINTS"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(report: str, constraints: str) -> int:
    """0 if both name the same versions, else 1 with the differences on stderr."""
    installs = json.loads(Path(report).read_text())["install"]
    resolved = {
        canonical(item["metadata"]["name"]): item["metadata"]["version"] for item in installs
    }
    resolved.pop("hrd", None)
    pinned = {}
    for line in Path(constraints).read_text().splitlines():
        requirement = line.split("#")[0].strip()
        if requirement:
            name, version = requirement.split("==")
            pinned[canonical(name)] = version
    for name in sorted(resolved.keys() ^ pinned.keys()):
        print(f"only {'resolved' if name in resolved else 'pinned'}: {name}", file=sys.stderr)
    for name in sorted(resolved.keys() & pinned.keys()):
        if resolved[name] != pinned[name]:
            print(f"{name}: {resolved[name]}, pinned {pinned[name]}", file=sys.stderr)
    return int(resolved != pinned)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
