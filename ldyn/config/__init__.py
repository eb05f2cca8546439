"""The configuration of a run: typed, validated as a whole before any weight is loaded, and stored as YAML."""
