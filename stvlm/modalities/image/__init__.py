"""Georeferenced images of a window."""
