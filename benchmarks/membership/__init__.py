"""Whether a trained network tells who was in its training, and what widening does against it."""
