"""Prediction intervals that hold what they promise."""
