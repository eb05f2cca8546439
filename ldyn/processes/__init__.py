"""Several processes as one run: launching them, dividing work, gathering results, stop signals."""
