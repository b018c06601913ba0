"""The version of the sources that produced a result."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str | None:
    """Return the commit of vaebench's sources, followed by "+" if they were edited, or None outside a checkout."""
    package = Path(__file__).parents[1]
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, text=True, check=True)
        edited = subprocess.run(["git", "status", "--porcelain", "."], cwd=package, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if edited.stdout.strip() else "")
