"""One window as images, prompt and series features."""
