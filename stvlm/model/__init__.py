"""The vision-language model with its first-layer fusion."""
