"""Forecasts, explanations and scenarios of a fitted model."""
