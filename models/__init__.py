"""Keras layers and models over hash tables, their saving and loading.

What needs TensorFlow loads on first use, because importing it takes seconds; the tables' optimizers,
initializers and rules of admission come from `emberline.kernels`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from emberline.kernels import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Constant,
    CountAdmission,
    Ftrl,
    Normal,
    ProbabilisticAdmission,
    RMSprop,
    RowwiseAdagrad,
    SketchAdmission,
    Uniform,
)

if TYPE_CHECKING:
    from emberline.models.callbacks.decay_frequency import DecayFrequency as DecayFrequency
    from emberline.models.callbacks.expire_keys import ExpireKeys as ExpireKeys
    from emberline.models.callbacks.restrict_tables import RestrictTables as RestrictTables
    from emberline.models.checkpoint import load_model as load_model
    from emberline.models.checkpoint import save_model as save_model
    from emberline.models.embedding.collection import EmbeddingCollection as EmbeddingCollection
    from emberline.models.embedding.config import FeatureConfig as FeatureConfig
    from emberline.models.embedding.config import TableConfig as TableConfig
    from emberline.models.zoo.dlrm import DLRMConfig as DLRMConfig
    from emberline.models.zoo.dlrm import dlrm_model as dlrm_model
    from emberline.models.zoo.ranking import RankingConfig as RankingConfig
    from emberline.models.zoo.ranking import ranking_model as ranking_model

_HOME = {
    "DecayFrequency": "emberline.models.callbacks.decay_frequency",
    "DLRMConfig": "emberline.models.zoo.dlrm",
    "EmbeddingCollection": "emberline.models.embedding.collection",
    "ExpireKeys": "emberline.models.callbacks.expire_keys",
    "FeatureConfig": "emberline.models.embedding.config",
    "RankingConfig": "emberline.models.zoo.ranking",
    "RestrictTables": "emberline.models.callbacks.restrict_tables",
    "TableConfig": "emberline.models.embedding.config",
    "dlrm_model": "emberline.models.zoo.dlrm",
    "load_model": "emberline.models.checkpoint",
    "ranking_model": "emberline.models.zoo.ranking",
    "save_model": "emberline.models.checkpoint",
}

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "CountAdmission",
    "DLRMConfig",
    "DecayFrequency",
    "EmbeddingCollection",
    "ExpireKeys",
    "FeatureConfig",
    "Ftrl",
    "Normal",
    "ProbabilisticAdmission",
    "RMSprop",
    "RankingConfig",
    "RestrictTables",
    "RowwiseAdagrad",
    "SketchAdmission",
    "TableConfig",
    "Uniform",
    "dlrm_model",
    "load_model",
    "ranking_model",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
