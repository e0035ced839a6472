"""Features made by hand: what a learnt one has to beat. They know no configuration."""

from fgu_jax.handcrafted.bag_of_words import BagOfWords, learn_bag_of_words
from fgu_jax.handcrafted.lomo import lomo, lomo_dim

__all__ = ["BagOfWords", "learn_bag_of_words", "lomo", "lomo_dim"]
