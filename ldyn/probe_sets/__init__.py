"""Build probe sets from preference data."""
