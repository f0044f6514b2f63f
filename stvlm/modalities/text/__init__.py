"""The prompt of a window."""
