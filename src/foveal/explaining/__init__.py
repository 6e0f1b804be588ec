"""Looking inside a network that has seen a picture: every number opened, every gradient traced back."""
