"""The launcher of the SIMT interpreter: NumPy memory in place of a GPU's."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emberline.kernels.gpu.source import kernel_names

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / "kernels"
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # removed when Python ends


def compiler() -> str | None:
    """Find the C++ compiler that the interpreter needs."""
    return shutil.which("g++") or shutil.which("c++")


@cache
def library() -> Any:
    """Build the kernels with the interpreter; once a test run."""
    folder = tempfile.TemporaryDirectory(prefix="emberline-simt-")
    _FOLDERS.append(folder)
    registry = "".join(f"SIMT_KERNEL({name}),\n" for name in kernel_names())
    Path(folder.name, "registry.inc").write_text(registry)
    built = Path(folder.name, "simt.so")
    options = ["-std=c++17", "-O2", "-g0", "-fPIC", "-shared", "-ffp-contract=off"]
    # A longjmp from fiber to fiber is what _FORTIFY_SOURCE takes for a corrupt stack.
    options += ["-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-Wall", "-Wextra", "-Werror"]
    options += [f"-I{path}" for path in (KERNELS / "gpu" / "device", KERNELS / "include")]
    options += [f"-I{HERE}", f"-I{folder.name}"]
    command = [str(compiler()), *options, str(HERE / "interpreter.cpp"), "-o", str(built)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    # PyDLL keeps the GIL: one kernel at a time, as the interpreter's state is global.
    loaded = ctypes.PyDLL(str(built))
    loaded.simt_signature.restype = loaded.simt_launch.restype = ctypes.c_char_p
    return loaded


class SimtLauncher:
    """Runs kernels thread by thread, every launch in another order.

    Args:
        seed: of the schedules, grid sizes and failing CAS; equal seeds run equally.
        cas_may_fail: let atomicCAS fail for no reason, now and then.
        device: the number it gives.
    """

    def __init__(self, seed: int = 0, *, cas_may_fail: bool = True, device: int = 0) -> None:
        self.device = device
        self._random = np.random.default_rng(seed)
        self._cas_may_fail = cas_may_fail

    def zeros(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Allocate zeros, aligned as CuPy aligns them."""
        bytes_ = count * np.dtype(dtype).itemsize
        memory = np.zeros(bytes_ + 512, np.uint8)
        start = -memory.ctypes.data % 512
        return memory[start : start + bytes_].view(dtype)

    def empty(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Allocate memory full of rubbish."""
        array = self.zeros(count, dtype)
        array.view(np.uint8)[:] = self._random.integers(1, 256)
        return array

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy an array to the device."""
        copy = self.zeros(array.size, array.dtype)
        copy[:] = array.reshape(-1)
        return copy

    def download(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy an array to the host; waits for the kernels before."""
        return array.copy()

    def adopt(self, array: Any) -> NDArray[Any]:
        """Share an array through DLPack."""
        return np.from_dlpack(array)

    def copy(self, target: NDArray[Any], source: NDArray[Any]) -> None:
        """Copy the whole of `source` to the start of `target`."""
        target[: source.shape[0]] = source

    def address(self, array: NDArray[Any]) -> int:
        """Give the device address of an array."""
        return int(array.ctypes.data)

    def launch(self, kernel: str, work: int, *arguments: Any, one_block: bool = False) -> None:
        """Run a kernel on 1 to 3 blocks of 1 to 3 warps; too few for the work, or too many."""
        lib = library()
        expected = lib.simt_signature(kernel.encode())
        assert expected is not None, f"no kernel {kernel}"
        assert "".join(map(_kind, arguments)) == expected.decode(), kernel
        grid = 1 if one_block else int(self._random.integers(1, 4))
        block = 32 * int(self._random.integers(1, 4))
        words = np.array([_word(argument) for argument in arguments], np.uint64)
        seed = ctypes.c_uint64(int(self._random.integers(2**63)))
        wrong = lib.simt_launch(
            kernel.encode(),
            grid,
            block,
            ctypes.c_void_p(words.ctypes.data),
            seed,
            int(self._cas_may_fail),
        )
        if wrong is not None:
            raise RuntimeError(f"{kernel}: {wrong.decode()}")


def _kind(argument: Any) -> str:
    if isinstance(argument, float):
        return "f"
    return "p" if argument is None or isinstance(argument, np.ndarray) else "i"


def _word(argument: Any) -> int:
    if argument is None:
        return 0
    if isinstance(argument, np.ndarray):
        return int(argument.ctypes.data)
    if isinstance(argument, float):
        return int(np.array([argument], np.float32).view(np.uint32)[0])
    return int(argument) % 2**64
