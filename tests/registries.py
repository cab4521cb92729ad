"""The smallest registry that trains, for tests to append plugins and suites to."""

from __future__ import annotations

HEAD = 'schema = 1\nprotocol = "test"\n'

NETWORK = """
[backbone.untrained]
timm = "test_resnet"
image_size = 16
weights = "random"

[recipe.probe]
learner = "probe"
"""

DIGITS = HEAD + "\n[dataset.digits]\n" + NETWORK

TRAINING = 'training = [{ arch = "untrained", recipe = "probe" }]\n'

# A suite of two cells.
TINY = """
[suite.tiny]
dataset = "digits"
methods = ["random"]
baseline = "random"
unpruned = "full"
pruning_rates = ["0.9"]
seeds = 1
"""
