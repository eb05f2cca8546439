"""`ldyn probes` as a builder: from any preference data to a file of probe examples that is fit to be measured with."""
