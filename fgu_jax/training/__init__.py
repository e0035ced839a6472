"""A run from beginning to end: the loop, the step, and what they stand on."""
