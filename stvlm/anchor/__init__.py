"""The anchor: the statistical forecaster that every model departs from."""
