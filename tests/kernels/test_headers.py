"""The kernel headers: each compiles alone, for the CPU and for every GPU generation."""

import importlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

INCLUDE = Path(__file__).parents[2] / "kernels" / "include"
HEADERS = sorted(INCLUDE.glob("*.cuh"))

# Each kernel is the loop that a GPU launcher would add around the shared functions.
KERNELS = """
#include "index.cuh"
#include "initializers.cuh"
#include "optimizers.cuh"
#include "rows.cuh"
#include "segments.cuh"
#include "select.cuh"
#include "sketch.cuh"
#include "square_sum.cuh"
using namespace emberline;

__device__ i64 thread() { return static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ i64 threads() { return static_cast<i64>(gridDim.x) * blockDim.x; }

extern "C" __global__ void find(IndexView index, const i64* keys, i64 count, i64* rows) {
  for (i64 i = thread(); i < count; i += threads()) {
    const u32 row = index_find(index, keys[i], hash_key(keys[i], index.hash_mask));
    rows[i] = row == kNoRow ? -1 : row;
  }
}

extern "C" __global__ void gather(RowsView view, const i64* rows, i64 count, float* out) {
  const i64 dim = view.layout.dim;
  for (i64 i = thread(); i < count * dim; i += threads()) {
    const i64 row = rows[i / dim];
    out[i] = row < 0 ? 0.0f : row_weights(view, static_cast<u32>(row))[i % dim];
  }
}

extern "C" __global__ void initialize(RowsView view, InitializerConfig config, u64 seed,
                                      i64 count) {
  const i64 pairs = (view.layout.dim + 1) / 2;
  for (i64 i = thread(); i < count * pairs; i += threads()) {
    const u32 row = static_cast<u32>(i / pairs);
    initialize_pair(config, initializer_stream(seed, row_key(view, row)), i % pairs,
                    view.layout.dim, row_weights(view, row));
  }
}

struct WarpLanes {
  const OptimizerConfig& config;
  const RowUpdate& update;
  const GradientView& gradients;
  const u32* positions;
  i64 count;
  i64 dim;
  float* weights;
  float* states;

  template <OptimizerKind kind>
  __device__ void operator()() const {
    for (i64 lane = thread() % 32; lane < dim; lane += 32) {
      const float gradient = segment_gradient(gradients, positions, count, lane);
      optimizer_lane<kind>(config, update, dim, gradient, weights + lane, states + lane);
    }
  }
};

// One warp updates one row.
extern "C" __global__ void update(RowsView view, GradientView gradients, OptimizerConfig config,
                                  const u32* rows, const i64* starts, const u32* positions,
                                  i64 segments) {
  const i64 dim = view.layout.dim;
  for (i64 s = thread() / 32; s < segments; s += threads() / 32) {
    const u32* of_row = positions + starts[s];
    const i64 count = starts[s + 1] - starts[s];
    float* states = row_states(view, rows[s]);
    float squares = 0.0f;
    if (needs_square_sum(config)) {
      for (i64 lane = thread() % kPartialSums; lane < dim; lane += kPartialSums) {
        const float gradient = segment_gradient(gradients, of_row, count, lane);
        squares += gradient * gradient;
      }
      for (int offset = 16; offset > 0; offset /= 2) {
        squares += __shfl_xor_sync(~0u, squares, offset);
      }
    }
    const RowUpdate update = row_update(config, dim, squares, states);
    visit_kind(config.kind, WarpLanes{config, update, gradients, of_row, count, dim,
                                      row_weights(view, rows[s]), states});
    __syncwarp();
    if (thread() % 32 == 0) finish_row(config, update, dim, states);
  }
}

// One pass of a selection, and the rows up to a cut.
extern "C" __global__ void select(const u32* scores, const i64* keys, i64 count, u64 low, u64 high,
                                  EvictionCut cut, u64* rank, unsigned long long* histogram,
                                  u32* flags) {
  const int shift = select_shift(low, high);
  for (i64 i = thread(); i < count; i += threads()) {
    atomicAdd(histogram + select_bucket(eviction_key_order(keys[i]), low, shift), 1ull);
    flags[i] = is_evicted(cut, scores[i], keys[i]);
  }
  if (thread() == 0) histogram[0] = select_bucket_of_rank(histogram, rank);
}

extern "C" __global__ void admit(const u8* cells, const i64* keys, i64 count, u64 seed, i64 width,
                                 i64 depth, u32 threshold, u64 step, u32* admitted) {
  const double survival = whole_root(0.05, threshold);
  for (i64 i = thread(); i < count; i += threads()) {
    const bool often = sketch_estimate(cells, keys[i], seed, width, depth) >= threshold;
    const bool lucky = admission_draw(seed, keys[i], step) < 1.0 - whole_power(survival, 1);
    admitted[i] = often || lucky;
  }
}

extern "C" __global__ void rest(IndexView index, float* out, const float* weights, i64 count) {
  if (thread() != 0) return;
  index_insert_absent(index, 7, hash_key(7, index.hash_mask), 0);
  index_erase(index, index_locate(index, 7, hash_key(7, index.hash_mask)));
  out[0] = pool_divide(out[0], pool_divisor(Combiner::sqrtn, weights, 0, count));
}
"""


def test_there_are_headers() -> None:
    assert {h.name for h in HEADERS} >= {"hash.cuh", "index.cuh", "rows.cuh", "segments.cuh"}
    texts = [KERNELS, *(h.read_text() for h in HEADERS)]
    included = {name for text in texts for name in re.findall(r'#include "([\w.]+)"', text)}
    assert {h.name for h in HEADERS} <= included  # so all are compiled for GPUs below


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: h.name)
def test_header_compiles_alone(header: Path, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on the PATH")
    source = tmp_path / "alone.cpp"
    source.write_text(
        f'#include "{header.name}"\\n#include "{header.name}"\\n'.replace("\\n", "\n")
    )
    options = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}"]
    result = subprocess.run(
        [compiler, *options, str(source)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: h.name)
def test_header_includes_nothing_heavy(header: Path) -> None:
    """A standard header under NVRTC costs seconds, and most do not exist there."""
    lines = [line.strip() for line in header.read_text().splitlines()]
    included = {line.split()[1] for line in lines if line.startswith("#include")}
    ours = {f'"{h.name}"' for h in HEADERS}
    host_only = {"<math.h>", "<string.h>"} if header.name == "platform.cuh" else set()
    assert included <= ours | host_only


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_kernels_compile_for_gpus(architecture: str) -> None:
    if importlib.util.find_spec("cuda") is None:
        pytest.skip("NVRTC is not installed (pip install cuda-bindings nvidia-cuda-nvrtc-cu12)")
    nvrtc: Any = importlib.import_module("cuda.bindings.nvrtc")
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError as reason:
        pytest.skip(f"the NVRTC library does not load: {reason}")
    names = [h.name.encode() for h in HEADERS]
    texts = [h.read_bytes() for h in HEADERS]
    error, program = nvrtc.nvrtcCreateProgram(
        KERNELS.encode(), b"kernels.cu", len(HEADERS), texts, names
    )
    assert int(error) == 0
    options = [
        f"--gpu-architecture={architecture}".encode(),
        b"--std=c++17",
        b"--fmad=false",
        b"--ptxas-options=-v",
    ]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    text = log.decode()
    assert int(error) == 0, text
    assert text.count("0 bytes spill stores, 0 bytes spill loads") == KERNELS.count("__global__")
