"""How good a network and its clusters are, where labels are known."""
