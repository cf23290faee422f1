"""Bugs to plant: one replacement of text each, and what it breaks."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MUTATIONS", "Mutation"]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A bug that the tests must catch.

    Attributes:
        name: what goes wrong.
        file: below the repository's root.
        find: text that occurs there exactly once.
        replace: what stands there instead.
        tests: the file of tests/kernels that runs first, as it is the likeliest to fail. All
            others follow, so a wrong guess costs time alone.
    """

    name: str
    file: str
    find: str
    replace: str
    tests: str

    def plant(self, root: Path) -> None:
        """Write the bug into the file below `root`.

        Raises:
            ValueError: the text is not there exactly once; the mutation must follow the code.
        """
        path = root / self.file
        text = path.read_text()
        count = text.count(self.find)
        if count != 1:
            raise ValueError(
                f"mutation {self.name!r}: {self.file} has {count} times {self.find!r}; expected 1"
            )
        path.write_text(text.replace(self.find, self.replace))


MUTATIONS = (
    Mutation(
        name="erase ends other keys' probes",
        file="kernels/include/index.cuh",
        find="chunk.tag[position.slot] = open ? kEmpty : kTombstone;",
        replace="chunk.tag[position.slot] = kEmpty;",
        tests="test_growth.py",
    ),
    Mutation(
        name="a tag alone is a match",
        file="kernels/include/index.cuh",
        find="if (chunk.key[slot] == key) return {at, slot};",
        replace="if (chunk.key[slot] == key || matches != 0) return {at, slot};",
        tests="test_admission.py",
    ),
    Mutation(
        name="a live slot's tag says EMPTY",
        file="kernels/include/hash.cuh",
        find="return tag > kTombstone ? tag : static_cast<u16>(tag + 2);",
        replace="return tag;",
        tests="test_admission.py",
    ),
    Mutation(
        name="an even stride misses chunks",
        file="kernels/include/hash.cuh",
        find="return (hash >> 32) | 1;",
        replace="return (hash >> 32) & ~u64{1};",
        tests="test_admission.py",
    ),
    Mutation(
        name="the seed is ignored",
        file="kernels/include/initializers.cuh",
        find="mix64(seed + kGolden)",
        replace="mix64(kGolden + 0 * seed)",
        tests="test_initializers.py",
    ),
    Mutation(
        name="sqrtn divides by the root of the sum",
        file="kernels/include/segments.cuh",
        find="weights[i] : weights[i] * weights[i]",
        replace="weights[i] : weights[i]",
        tests="test_pooling.py",
    ),
    Mutation(
        name="the wrong erased row is used again",
        file="kernels/cpu/table.cpp",
        find="return free_[static_cast<std::size_t>(reusable - 1 - rank)];",
        replace="return free_[static_cast<std::size_t>(rank)];",
        tests="test_changes.py",
    ),
    Mutation(
        name="ties between keys go by their bits, not their values",
        file="kernels/include/select.cuh",
        find="(static_cast<u64>(key) ^ (u64{1} << 63))",
        replace="static_cast<u64>(key)",
        tests="test_policies.py",
    ),
    Mutation(
        name="a range of scores one too wide for the histogram",
        file="kernels/include/select.cuh",
        find="shift >= kSelectBuckets",
        replace="shift > kSelectBuckets",
        tests="test_policies.py",
    ),
    Mutation(
        name="a full eviction log claims to know all",
        file="kernels/cpu/eviction_log.hpp",
        find="begin_ = ring_[oldest_].version;",
        replace="",
        tests="test_changes.py",
    ),
    Mutation(
        name="a candidate is lost when one before it goes",
        file="kernels/cpu/candidates.hpp",
        find="((at - home) & mask()) < ((at - hole) & mask())",
        replace="((at - home) & mask()) <= ((at - hole) & mask())",
        tests="test_admission.py",
    ),
    Mutation(
        name="a candidate's occurrences in one batch count once",
        file="kernels/cpu/admission.cpp",
        find="*total += candidates_.count(key);",
        replace="*total = candidates_.count(key) + 1;",
        tests="test_admission.py",
    ),
    Mutation(
        name="a batch evicts the key that has row 0, though it is in the batch",
        file="kernels/cpu/policies.cpp",
        find="if (rows[i] >= 0) batch_rows_",
        replace="if (rows[i] > 0) batch_rows_",
        tests="test_policies.py",
    ),
    Mutation(
        name="a run of keys in the order of their rows goes on over an erased key",
        file="kernels/cpu/keys.cpp",
        find=" &&\n         is_live(static_cast<u64>(first + run))) {",
        replace=") {",
        tests="test_lookup.py",
    ),
    Mutation(
        name="shrink forgets when a moved row was written",
        file="kernels/cpu/shrink.cpp",
        find="row_version(view, to) = row_version(view, from);",
        replace="",
        tests="test_changes.py",
    ),
    Mutation(
        name="frequencies wrap around",
        file="kernels/cpu/update.cpp",
        find="return b > 0xFFFFFFFFull - a ? 0xFFFFFFFFu : a + static_cast<u32>(b);",
        replace="return a + static_cast<u32>(b);",
        tests="test_exchange.py",
    ),
    Mutation(
        name="equal rows are updated one by one",
        file="kernels/cpu/update.cpp",
        find="while (end < count && words[end] >> 32 == row) ++end;",
        replace="end = begin + 1;",
        tests="test_updates.py",
    ),
    Mutation(
        name="row numbers depend on the threads",
        file="kernels/cpu/keys.cpp",
        find="i64 rank = part_counts_[static_cast<std::size_t>(part)];",
        replace="i64 rank = part_counts_[0] * part;",
        tests="test_threads.py",
    ),
    Mutation(
        name="absent keys give zeros instead of their initial weights",
        file="kernels/table_rows.py",
        find='missing == "initial", out',
        replace='missing != "initial", out',
        tests="test_lookup.py",
    ),
    Mutation(
        name="uint64 keys above int64 wrap around silently",
        file="kernels/arrays.py",
        find='if array.dtype.kind == "u" and array.dtype.itemsize == 8:',
        replace='if array.dtype.kind == "u" and array.dtype.itemsize == 16:',
        tests="test_arguments.py",
    ),
    Mutation(
        name="outputs whose rows overlap are written",
        file="kernels/arrays.py",
        find="overlapping = rows > 1 and out.strides[0] < columns * 4",
        replace="overlapping = rows > 1 and out.strides[0] < 0",
        tests="test_limits.py",
    ),
    Mutation(
        name="a learning rate of zero is ignored",
        file="kernels/table_rows.py",
        find="if learning_rate is None",
        replace="if not learning_rate",
        tests="test_optimizers.py",
    ),
)
