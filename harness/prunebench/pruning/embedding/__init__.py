"""Pictures to features: from their files through the network's own transform, stored by content, never twice."""

from prunebench.pruning.embedding.by_executor import embedding_executor
from prunebench.pruning.embedding.embed import Embedded, embed
from prunebench.pruning.embedding.network import Network, open_network

__all__ = ["Embedded", "Network", "embed", "embedding_executor", "open_network"]
