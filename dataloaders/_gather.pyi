"""Rows of decoded row groups into batches, without the GIL; see dataloaders/window.py."""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray

class WindowOrder:
    """The order of a window's rows: int64, a permutation."""

    def __init__(
        self,
        order: Annotated[
            NDArray[numpy.int64],
            {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
        ],
    ) -> None: ...
    def take_rows(
        self,
        chunks: Sequence[
            Annotated[
                NDArray[numpy.uint8],
                {"shape": (None, None), "order": "C", "device": "cpu", "writable": False},
            ]
        ],
        begins: Sequence[int],
        outs: Sequence[
            Annotated[NDArray[numpy.uint8], {"shape": (None, None), "order": "C", "device": "cpu"}]
        ],
    ) -> None:
        """Fill each out [n, bytes] with the rows at the places from its begin on."""

    def take_offsets(
        self,
        chunks: Sequence[
            Annotated[
                NDArray[numpy.int64],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
        ],
        begins: Sequence[int],
        outs: Sequence[
            Annotated[NDArray[numpy.int64], {"shape": (None,), "order": "C", "device": "cpu"}]
        ],
    ) -> None:
        """Fill each out [n + 1] with the offsets, from 0, of the lists from its begin on."""

    def take_lists(
        self,
        chunks: Sequence[
            Annotated[
                NDArray[numpy.uint8],
                {"shape": (None, None), "order": "C", "device": "cpu", "writable": False},
            ]
        ],
        offsets: Sequence[
            Annotated[
                NDArray[numpy.int64],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
        ],
        begins: Sequence[int],
        outs: Sequence[
            Annotated[NDArray[numpy.uint8], {"shape": (None, None), "order": "C", "device": "cpu"}]
        ],
        out_offsets: Sequence[
            Annotated[
                NDArray[numpy.int64],
                {"shape": (None,), "order": "C", "device": "cpu", "writable": False},
            ]
        ],
    ) -> None:
        """Fill each out with the elements of the lists from its begin on."""
