"""Rules of admission: which keys are worth a row."""

from collections.abc import Mapping
from typing import Any

from emberline.kernels.admission.admission import Admission
from emberline.kernels.admission.count import CountAdmission
from emberline.kernels.admission.probabilistic import ProbabilisticAdmission
from emberline.kernels.admission.sketch import SketchAdmission
from emberline.kernels.errors import ConfigError
from emberline.kernels.settings import from_dict

__all__ = [
    "Admission",
    "CountAdmission",
    "ProbabilisticAdmission",
    "SketchAdmission",
    "admission_from_dict",
]


def admission_from_dict(config: Mapping[str, Any]) -> Admission:
    """Make the rule that `Admission.to_dict` described.

    Raises:
        ConfigError: an unknown name or setting (with the nearest known one), or a bad value.

    >>> admission_from_dict({"name": "CountAdmission", "threshold": 3})
    CountAdmission(threshold=3)
    """
    if isinstance(config, Mapping) and "name" in config and "threshold" not in config:
        raise ConfigError(f"admission {config['name']} needs 'threshold'; given: {dict(config)}")
    classes = (CountAdmission, SketchAdmission, ProbabilisticAdmission)
    return from_dict("admission", {c.__name__: c for c in classes}, config)
