"""Figures and maps from data; returned, never shown here."""
