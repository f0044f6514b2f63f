"""Networks that come with the program, well-known ones, and synthetic ones."""
