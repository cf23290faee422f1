"""The device kernels as one text, and the names of the kernels in it."""

import re
from functools import cache
from pathlib import Path

__all__ = ["COMPILE_OPTIONS", "kernel_names", "kernel_source"]

_DEVICE = Path(__file__).parent / "device"
_SHARED = Path(__file__).parents[1] / "include"
_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', re.MULTILINE)

# --fmad=false: a fused multiply-add would give other bits than the CPU's.
COMPILE_OPTIONS = ("--std=c++17", "--fmad=false")


@cache
def kernel_source() -> str:
    """Give all kernels with every header in place, each once.

    One text, and not a file that includes others, because CuPy's cache of compiled kernels knows
    the text it was given and not the headers behind it.
    """
    seen: set[str] = set()

    def expand(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        folder = _DEVICE if (_DEVICE / name).exists() else _SHARED
        text = (folder / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return _INCLUDE.sub(lambda match: expand(match[1]), text)

    return expand("kernels.cu")


@cache
def kernel_names() -> tuple[str, ...]:
    """Give the kernels' names, in order of their source."""
    return tuple(re.findall(r"^EMBERLINE_KERNEL (\w+)\(", kernel_source(), re.MULTILINE))
