"""See, forecast and explain what a sensor network measures, with a vision-language model.

The alphabet of axes, used in every docstring and shape comment:

    B batch · T steps of a series · L lookback · H horizon · N sensors · Q quantiles · M modalities (3: vision, text, series)
    V views (images) per window · G image side in pixels · g image side in patches · S tokens · D hidden size · C context columns
    F features of one sensor · W windows
"""

import os

# Threads that wait for work sleep instead of spinning: server and worker share the machine. Read by OpenMP when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
