"""Where things are on the system, without importing anything that is slow to import."""

from __future__ import annotations

from pathlib import Path

SYSTEM_CONFIG = Path("/etc/hrd/hrd.toml")
"""Read when no --config is given and the file exists."""
