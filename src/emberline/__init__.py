"""emberline: from raw logs to a served recommender, on one workstation or one laptop.

The subpackages load when they are first touched, so `import emberline` stays light:

>>> import emberline
>>> emberline.__all__
['__version__', 'dataloaders', 'etl', 'kernels', 'models', 'workflows']
"""

import importlib
from importlib.metadata import version as _version
from types import ModuleType

__all__ = ["__version__", "dataloaders", "etl", "kernels", "models", "workflows"]

__version__ = _version("emberline")


def __getattr__(name: str) -> ModuleType:
    """Import a subpackage on first use."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the subpackages, loaded or not."""
    return sorted(__all__)
