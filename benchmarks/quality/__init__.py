"""Networks and baselines on unseen real heads, one person left out in turn, at equal processor time."""
