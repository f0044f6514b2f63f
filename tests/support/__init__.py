"""What tests need and no test is."""
