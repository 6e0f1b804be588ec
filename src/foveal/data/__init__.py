"""Photos on disk: scanning, decoding, hashing, pre-flight, groups and splits."""
