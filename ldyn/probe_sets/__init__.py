"""Build probe sets from preference data, and check them."""
