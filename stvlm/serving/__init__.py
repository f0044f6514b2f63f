"""Forecast requests of the app, queued and batched."""
