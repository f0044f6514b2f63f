"""From sensors to any location."""
