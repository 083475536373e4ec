"""Time and memory of one training step at 128³, ours beside X2CT's, and what the samples cost."""
