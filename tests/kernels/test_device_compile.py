"""Every device kernel compiles for every GPU generation, within its registers and unspilled."""

import importlib
import importlib.util
import re
from typing import Any

import pytest

from emberline.kernels.gpu.source import COMPILE_OPTIONS, kernel_names, kernel_source

# The most that any of sm_80, 90, 100 and 120 needs, rounded up to what the hardware allots (8):
# 64 lets four blocks of 256 threads share a multiprocessor, 72 and 80 let three.
REGISTERS = {
    "emberline_update": 80,
    "emberline_initialize": 80,
    "emberline_add": 64,
    "emberline_move_rows": 72,  # of a shrink, bound by memory as it copies
    "emberline_pool": 72,
    "emberline_write_rows": 64,
}
OTHERS = 56

REPORT = re.compile(
    r"entry function '(\w+)' for.*\n.*\n\D*(\d+) bytes stack frame, (\d+) bytes spill stores, "
    r"(\d+) bytes spill loads\n.*Used (\d+) registers"
)


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    if importlib.util.find_spec("cuda") is None:
        pytest.skip("NVRTC is not installed (pip install cuda-bindings nvidia-cuda-nvrtc-cu12)")
    module = importlib.import_module("cuda.bindings.nvrtc")
    try:
        module.nvrtcVersion()
    except RuntimeError as reason:
        pytest.skip(f"the NVRTC library does not load: {reason}")
    return module


def compile_kernels(nvrtc: Any, architecture: str) -> tuple[int, str]:
    """Give NVRTC's result and its log, with ptxas' report."""
    error, program = nvrtc.nvrtcCreateProgram(kernel_source().encode(), b"kernels.cu", 0, [], [])
    assert int(error) == 0
    words = [f"--gpu-architecture={architecture}", *COMPILE_OPTIONS, "--ptxas-options=-v"]
    options = [word.encode() for word in words]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(program)
    return int(error), log.rstrip(b"\0 ").decode()


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_kernels_fit(nvrtc: Any, architecture: str) -> None:
    error, log = compile_kernels(nvrtc, architecture)
    assert error == 0, log
    assert "warning" not in log, log
    reports = {name: [int(n) for n in numbers] for name, *numbers in REPORT.findall(log)}
    assert reports.keys() == set(kernel_names()), log
    spilled = {name: report for name, report in reports.items() if report[:3] != [0, 0, 0]}
    assert not spilled
    used = {name: report[3] for name, report in reports.items()}
    assert {k: n for k, n in used.items() if n > REGISTERS.get(k, OTHERS)} == {}


def test_the_source_is_one_text() -> None:
    source = kernel_source()
    assert '#include "' not in source
    assert source.count("struct alignas(128) Chunk {") == 1
    assert len(kernel_names()) == len(set(kernel_names())) >= 25
    assert all(name.startswith("emberline_") for name in kernel_names())


def test_the_report_of_ptxas_is_read() -> None:
    """The pattern must not match nothing: a spill in the log is a spill in the report."""
    log = (
        "ptxas info    : Compiling entry function 'f' for 'sm_80'\n"
        "ptxas info    : Function properties for f\n"
        "ptxas         .     32 bytes stack frame, 16 bytes spill stores, 8 bytes spill loads\n"
        "ptxas info    : Used 48 registers, used 0 barriers\n"
    )
    assert REPORT.findall(log) == [("f", "32", "16", "8", "48")]
