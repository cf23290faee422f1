"""Row-wise Adagrad: Adagrad with one accumulator for a whole row."""

from dataclasses import dataclass

from emberline.kernels.optimizers.adagrad import Adagrad

__all__ = ["RowwiseAdagrad"]


@dataclass(frozen=True, kw_only=True, repr=False)
class RowwiseAdagrad(Adagrad):
    """`accumulator += mean(g * g); weight -= learning_rate * g / sqrt(accumulator + epsilon)`.

    The mean is over the row's weights, so the row has one state instead of `dim`. It is summed in
    a fixed order (square_sum.cuh): the same bits for any number of threads and on a GPU. For a `dim`
    of 1 it is `Adagrad`. Settings as there; Keras has no such optimizer.

    Source: Gupta, Bengio, Weston 2014, Training Highly Multiclass Classifiers (one learning rate
    per embedding); FBGEMM's EXACT_ROWWISE_ADAGRAD, which has epsilon outside the root.

    >>> RowwiseAdagrad().state_floats(64)
    1
    """

    @property
    def kernel_code(self) -> int:
        """The OptimizerKind of optimizers.cuh."""
        return 4

    @property
    def states_per_weight(self) -> int:
        """None."""
        return 0

    @property
    def states_per_row(self) -> int:
        """The accumulator."""
        return 1
