"""Keeps numpy's linear algebra to one thread.

Beside a busy tracker, two threads are slower than one: ten epochs went from 0.98 s to 4.65 s, and
prediction of a batch from 0.30 ms to 42 ms (measured on two cores).
"""

import os
import sys

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")


def use_one_thread() -> None:
    """Pins the linear algebra of this process and its children to one thread.

    Raises RuntimeError when numpy is imported already: its libraries read these variables once.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("numpy is imported already; call use_one_thread() before it is")
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
