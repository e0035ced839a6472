"""Plain implementations of the same work, to be timed beside ours."""
