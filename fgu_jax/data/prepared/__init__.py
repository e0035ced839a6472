"""Prepared datasets: written once from archives, read by every command."""
