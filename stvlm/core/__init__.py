"""The nouns: network, series, windows, forecast."""
