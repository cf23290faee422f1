"""Memory of this process and of the machine (Linux)."""

import resource
from pathlib import Path

__all__ = ["available_bytes", "resident_bytes"]


def resident_bytes() -> int:
    """Give the resident set of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def available_bytes() -> int:
    """Give what can be allocated without swapping, by the kernel's own estimate."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable")
