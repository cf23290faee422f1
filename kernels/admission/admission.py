"""The base of the rules of admission."""

from dataclasses import dataclass
from typing import Any, ClassVar

from emberline.kernels.errors import ConfigError
from emberline.kernels.settings import to_dict

__all__ = ["Admission"]


@dataclass(frozen=True, kw_only=True)
class Admission:
    """When a key that is not in the table may come in; use one of the three rules.

    `HashTable.find_or_insert` asks it about the absent keys of a batch, with how often each
    occurs in it. A key that is refused gets row -1: `gather` gives the default vector for it and
    `apply_gradients` trains nothing. `assign` and `import_` do not ask.

    Attributes:
        threshold: occurrences, at least 1.
    """

    threshold: int

    kernel_code: ClassVar[int] = -1  # AdmissionKind in admission.hpp
    max_threshold: ClassVar[int] = 2**32 - 1

    def __post_init__(self) -> None:
        """Check the settings."""
        if type(self) is Admission:
            raise TypeError(
                "Admission is abstract: use CountAdmission, SketchAdmission or "
                "ProbabilisticAdmission"
            )
        self._require_integer("threshold", self.threshold, 1, self.max_threshold)

    @property
    def kernel_width(self) -> int:
        """Cells in a line of the sketch, for the kernel; 0 where there is none."""
        return 0

    @property
    def kernel_depth(self) -> int:
        """Lines of the sketch, for the kernel; 0 where there is none."""
        return 0

    @property
    def kernel_equal(self) -> bool:
        """Whether each occurrence has the same chance, for the kernel."""
        return False

    @property
    def kernel_seed(self) -> int:
        """The seed of the rule's hashes, for the kernel."""
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as a dictionary; `admission_from_dict` reads it."""
        return to_dict(self)

    def _require_integer(self, name: str, value: object, low: int, high: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"{type(self).__name__}({name}={value!r}): expected an integer, {low} to {high}"
            )
