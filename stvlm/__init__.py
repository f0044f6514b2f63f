"""See, forecast and explain what a sensor network measures, with a vision-language model.

The alphabet of axes, used in every docstring and shape comment:

    B batch · T steps of a series · L lookback · H horizon · N sensors · Q quantiles · M modalities (3: vision, text, series)
    V views (images) per window · G image side in pixels · g image side in patches · S tokens · D hidden size · C context columns
    F features of one sensor · W windows
"""

import os

# Server, worker and browser share the machine, so threads that wait for each other must not spin there: torch's look a few times and
# then sleep, and OpenBLAS, which knows no such way, works in one (for the small systems that we solve two are no quicker). Read when
# torch and numpy are loaded; the figures are in docs/runs.md.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
