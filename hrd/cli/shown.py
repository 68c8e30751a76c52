"""Messages without the secrets of addresses that were typed where they do not belong."""

from __future__ import annotations

import os
from typing import Sequence

from hrd.capture.address import printable, shown_address


def without_secrets(text: str, argv: Sequence[str]) -> str:
    """``text`` with every address among the words of the command line as it may be shown."""
    for word in argv:
        value = word.partition("=")[2] if word.startswith("-") else word
        shown = shown_address(value)
        if value and printable(value) not in shown:  # else there is nothing secret in it
            for form in (value, repr(value)[1:-1], os.path.normpath(value)):
                text = text.replace(form, shown)
    return text
