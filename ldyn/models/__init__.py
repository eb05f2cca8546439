"""Base models: the tiny one pretrained from scratch, and pretrained ones from the hub or a directory."""
