"""Where things are on the system, without importing anything that is slow to import."""

from __future__ import annotations

from pathlib import Path

from hrd.errors import UsageError

SYSTEM_CONFIG = Path("/etc/hrd/hrd.toml")
"""Read when no --config is given and the file exists."""


def expand(path: str) -> Path:
    """A path with ``~`` for the home directory. Raises ``UsageError`` where there is no home."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, KeyError):  # Python 3.8 and 3.9 have let KeyError through
        raise UsageError(
            f"{path} begins with a home directory that is not known here: set HOME, or write the "
            "path out"
        ) from None


def models_dir() -> Path:
    """The folder of the models that come with hrd: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"
