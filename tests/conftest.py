"""Set before torch, scipy and matplotlib are imported, here and in the processes that tests start."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks of the tests are too small to share among threads
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # else scikit-learn skips its array API checks
os.environ.setdefault("MPLBACKEND", "agg")
