"""What is known already: the feature store."""
