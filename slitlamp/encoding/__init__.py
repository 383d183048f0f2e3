"""Features of the images of a question: from the store, or encoded and stored."""
