// The lanes of one row, shared by a tile, for each type of row: `visit_row_type` switches once a row.
#pragma once

#include "half.cuh"
#include "simt.cuh"

namespace emberline {

// Lanes first, first + width, ... below `dim`.
struct TileLanes {
  i64 first;
  i64 width;
  i64 dim;
};

struct ReadLanes {
  const float* row;
  TileLanes lanes;
  float* to;

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    for (i64 lane = lanes.first; lane < lanes.dim; lane += lanes.width) {
      to[lane] = read_weight<type>(row, lane);
    }
  }
};

struct WriteLanes {
  float* row;
  TileLanes lanes;
  const float* from;

  template <RowType type>
  EMBERLINE_DEVICE void operator()() const {
    for (i64 lane = lanes.first; lane < lanes.dim; lane += lanes.width) {
      write_weight<type>(row, lane, from[lane], Nearest{});
    }
  }
};

}  // namespace emberline
