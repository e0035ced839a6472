"""Devices and processes: the mesh, what processes tell each other, memory."""
