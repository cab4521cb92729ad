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
# The same of numpy alone, where the harness is tested: its processes start in a fraction of the time.
NUMPY_DIGITS = (
    HEAD
    + """
[dataset.digits]
spec = "numpy-digits"

[backbone.untrained]
provider = "numpy"
model = "random-features"
weights = "random"

[recipe.probe]
learner = "nearest-mean"
"""
)

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
