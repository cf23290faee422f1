// The one translation unit that NVRTC compiles: every kernel of the table.
#include "distinct.cuh"
#include "exchange.cuh"
#include "find.cuh"
#include "gather.cuh"
#include "insert.cuh"
#include "scan.cuh"
#include "sort.cuh"
#include "update.cuh"
