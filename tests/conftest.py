"""One torch thread a test process, and scikit-learn's array API checks switched on before scipy is imported."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("MPLBACKEND", "agg")
