"""Importing TensorFlow without the page of log lines it prints first."""

import importlib
import os
import sys
import tempfile

__all__ = ["start_tensorflow"]


def start_tensorflow() -> None:
    """Import Keras, and TensorFlow with it; show what they print only if that fails.

    Several C++ libraries log to descriptor 2 before any log level is read (TensorFlow 2.21: about
    oneDNN and missing CUDA drivers), so for the import the descriptor itself points elsewhere.
    Afterwards `TF_CPP_MIN_LOG_LEVEL` rules; a level that the user has set is kept, and a level of
    0 shows everything from the start.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            importlib.import_module("keras")  # it imports TensorFlow
        except BaseException:
            printed.seek(0)
            os.write(kept, printed.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
