"""Clusters of features: made, judged, and how sure each image is of its own."""
