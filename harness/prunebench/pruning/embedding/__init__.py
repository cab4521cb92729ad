"""Pictures to features: from their files through the network's own transform, stored by content, never twice."""

from prunebench.pruning.embedding.by_executor import elsewhere
from prunebench.pruning.embedding.embed import Embedded, embed
from prunebench.pruning.embedding.network import Network, open_network

__all__ = ["Embedded", "Network", "elsewhere", "embed", "open_network"]
