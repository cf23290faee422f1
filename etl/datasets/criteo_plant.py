"""The planted model behind `SyntheticCriteo`: logits as a function of a row's values.

    signal = sum over I of a_j * z_j + sum over C of e_c(value) + sum over pairs of e_cd(both values)
    logit  = intercept + spread * (signal - mean) / std

z_j is the standardised log of the integer; nulls have an effect of their own; e is hashed from
the value. Mean, std and intercept are measured once on a fixed sample, so that any
cardinalities give the stated base rate and about the stated AUC.
"""

import numpy as np
import numpy.typing as npt

from emberline.etl.datasets.random_streams import hashed, hashed_normals, stream_key

__all__ = ["INTEGERS", "CriteoPlant"]

# (mean and deviation of log(value + 1 - lowest), lowest value, share of nulls) of I1 .. I13: heavy
# tails, I2 partly negative and I12 mostly missing, as in the display advertising challenge.
INTEGERS: tuple[tuple[float, float, int, float], ...] = (
    (1.0, 1.1, 0, 0.45),
    (2.2, 1.9, -3, 0.0),
    (1.9, 1.3, 0, 0.22),
    (1.7, 0.9, 0, 0.22),
    (7.5, 2.0, 0, 0.03),
    (3.6, 1.6, 0, 0.22),
    (1.6, 1.4, 0, 0.04),
    (2.1, 1.0, 0, 0.0005),
    (3.9, 1.4, 0, 0.04),
    (0.5, 0.5, 0, 0.45),
    (0.9, 0.8, 0, 0.04),
    (0.5, 0.8, 0, 0.76),
    (1.6, 1.1, 0, 0.22),
)
_INTEGER_EFFECT = 0.35
_NULL = -1  # the code of a missing categorical value
# Pairs (0-based) whose joint value has an effect that no linear model finds; small cardinalities,
# so that each joint value is seen often.
_PAIRS = ((5, 8), (16, 19), (21, 22))
_PAIR_EFFECT = 0.25
_INTEGER_WORD, _INTEGER_NULL_WORD, _VALUE_WORD, _PAIR_WORD = 1, 2, 3, 4


class CriteoPlant:
    """Signals of rows for one seed.

    Args:
        seed: of the generator.
        cardinalities: of C1 .. C26; values of larger columns weigh less, since most are rare.
    """

    def __init__(self, *, seed: int, cardinalities: tuple[int, ...]) -> None:
        self._seed = seed
        self._scales = [1.0 / (2.0 + np.log10(n)) for n in cardinalities]
        columns = np.arange(len(INTEGERS), dtype=np.int64)
        self._slopes = _INTEGER_EFFECT * hashed_normals(self._key(_INTEGER_WORD), columns)
        self._nulls = _INTEGER_EFFECT * hashed_normals(self._key(_INTEGER_NULL_WORD), columns)

    def signal(
        self,
        integers: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]],
        codes: list[npt.NDArray[np.int64]],
    ) -> npt.NDArray[np.float64]:
        """Sum the effects of a row's values; float64 [n].

        Args:
            integers: for I1 .. I13 the values (anything where null) and where they are null.
            codes: for C1 .. C26 the values as 32-bit numbers, -1 where null.
        """
        total = np.zeros(len(codes[0]))
        for j, (values, null) in enumerate(integers):
            mean, deviation, lowest, _ = INTEGERS[j]
            log = np.log1p(np.maximum(values - lowest, 0))
            total += np.where(null, self._nulls[j], self._slopes[j] * (log - mean) / deviation)
        for c, code in enumerate(codes):
            total += self._scales[c] * hashed_normals(self._key(_VALUE_WORD, c), code)
        for left, right in _PAIRS:
            both = hashed(self._key(_PAIR_WORD, left), codes[left]).astype(np.int64) ^ codes[right]
            total += _PAIR_EFFECT * hashed_normals(self._key(_PAIR_WORD, left, right), both)
        return total

    def _key(self, *words: int) -> int:
        return stream_key(self._seed, *words)
