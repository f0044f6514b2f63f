"""Exports that need no server: static pictures, GIF, HTML report."""
