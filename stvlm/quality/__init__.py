"""What is wrong with the data, and how to fix it."""
