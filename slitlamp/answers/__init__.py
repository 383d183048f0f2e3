"""What a model answers: asked here in four ways, or read from files made elsewhere, and what may be said of it."""
