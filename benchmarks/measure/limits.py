"""The machine's limits, measured beside the figures: random lines, look-up pattern, copy."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["Limits"]

_U64, _INT, _POINTER, _SECONDS = ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p, ctypes.c_double


class Limits:
    """Memory probes in C++, built when made. Buffers are mapped once and kept until `close`.

    Raises:
        RuntimeError: no C++ compiler, or it fails; the compiler's words are in the message.
    """

    def __init__(self) -> None:
        compiler = shutil.which("g++") or shutil.which("c++")
        if compiler is None:
            raise RuntimeError("the limits are measured by a C++ probe; no g++ or c++ on the PATH")
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "liblimits.so"
            source = Path(__file__).with_suffix(".cpp")
            command = [compiler, "-std=c++17", "-O3", "-march=native", "-shared", "-fPIC"]
            command += ["-pthread", str(source), "-o", str(library)]
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            if built.returncode != 0:
                raise RuntimeError(f"the probe of the limits does not build:\n{built.stderr}")
            self._probe = ctypes.CDLL(str(library))
        for name, result, arguments in (
            ("limits_map", _POINTER, [_U64, _INT]),
            ("limits_unmap", None, [_POINTER, _U64]),
            ("limits_random_lines", _SECONDS, [_POINTER, _U64, _U64, _INT, _U64]),
            (
                "limits_random_rows",
                _SECONDS,
                [_POINTER, _U64, _POINTER, _U64, _U64, _POINTER, _U64, _U64, _INT, _U64],
            ),
            ("limits_copy", _SECONDS, [_POINTER, _POINTER, _U64, _INT]),
        ):
            function = getattr(self._probe, name)
            function.restype, function.argtypes = result, arguments
        self._maps: dict[tuple[str, bool], tuple[int, int]] = {}
        self._calls = 0

    def _map(self, name: str, size_bytes: int, *, huge: bool = True) -> int:
        """Give the address of a buffer of at least this size, its pages touched."""
        address, size = self._maps.get((name, huge), (0, 0))
        if size < size_bytes:
            if size:
                self._probe.limits_unmap(address, size)
            address = self._probe.limits_map(size_bytes, int(huge))
            if not address:
                raise MemoryError(f"the system refused {size_bytes} bytes for measuring a limit")
            self._maps[name, huge] = (address, size_bytes)
        return address

    def random_lines(
        self, size_bytes: int, *, threads: int, huge: bool = True, count: int = 4_000_000
    ) -> float:
        """Measure independent random 64-byte lines per second over `size_bytes` of memory."""
        data = self._map("a", size_bytes, huge=huge)
        self._calls += 1
        seconds: float = self._probe.limits_random_lines(
            data, size_bytes, count, threads, self._calls << 40
        )
        return count / seconds

    def lookups(
        self, *, index_bytes: int, rows_bytes: int, row_bytes: int, batch: int, threads: int
    ) -> float:
        """Measure the memory accesses of a look-up alone: keys per second, no hash, no compare."""
        index = self._map("a", index_bytes)
        rows = self._map("b", rows_bytes)
        out = self._map("c", batch * row_bytes)
        count = 2_000_000
        self._calls += 1
        seconds: float = self._probe.limits_random_rows(
            index, index_bytes, rows, rows_bytes, row_bytes, out, batch, count, threads,
            self._calls << 40,
        )  # fmt: skip
        return count / seconds

    def copy_bandwidth(self, size_bytes: int, *, threads: int) -> float:
        """Measure memcpy between two touched buffers, payload bytes per second."""
        to, source = self._map("c", size_bytes), self._map("b", size_bytes)
        seconds: float = self._probe.limits_copy(to, source, size_bytes, threads)
        return size_bytes / seconds

    def close(self) -> None:
        """Give the buffers back."""
        for address, size in self._maps.values():
            self._probe.limits_unmap(address, size)
        self._maps.clear()
