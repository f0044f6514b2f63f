"""What is fast, and how we know: one command for each figure."""

import stvlm  # noqa: F401  how threads wait is set before numpy and torch are loaded, as in the app
