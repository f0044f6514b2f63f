"""Layout, view state, translation and inputs that all pages share."""
