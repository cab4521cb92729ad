"""Maps from features to a few dimensions: UMAP, PaCMAP, t-SNE, PCA, and none."""

from collections.abc import Iterable

from prunebench import Param, ProjectorSpec, hookimpl

_COMPONENTS = Param(default=2, doc="Dimensions of the projection.", minimum=1, source="TopoCore, Table 2")


@hookimpl
def prunebench_projectors() -> Iterable[ProjectorSpec]:
    return [
        ProjectorSpec(
            name="umap",
            summary="UMAP with cosine distances: nearest-neighbour graph laid out in two dimensions.",
            load="prunebench_projectors.neighbours:umap",
            paper="McInnes, Healy and Melville 2018",
            params={
                "n_components": _COMPONENTS,
                "n_neighbors": Param(default=15, doc="Neighbours in the graph.", minimum=2, source="TopoCore, Table 2"),
                "min_dist": Param(
                    default=0.1, doc="Least distance in the layout.", minimum=0, source="TopoCore, Table 2"
                ),
                "metric": Param(default="cosine", doc="Distance of features.", choices=("cosine", "euclidean")),
            },
        ),
        ProjectorSpec(
            name="pacmap",
            summary="PaCMAP: near, mid-near and far pairs laid out in two dimensions.",
            load="prunebench_projectors.neighbours:pacmap",
            paper="Wang, Huang, Rudin and Shaposhnik 2021",
            params={
                "n_components": _COMPONENTS,
                "n_neighbors": Param(
                    default=10, doc="Near pairs of each sample.", minimum=1, source="the package's default"
                ),
            },
        ),
        ProjectorSpec(
            name="tsne",
            summary="t-SNE by the Barnes-Hut approximation, started from PCA.",
            load="prunebench_projectors.neighbours:tsne",
            paper="van der Maaten and Hinton 2008",
            params={
                "n_components": Param(default=2, doc="Dimensions of the projection.", minimum=1, maximum=3),
                "perplexity": Param(
                    default=30.0, doc="Effective neighbours; at most (n - 1) / 3 is used.", minimum=1,
                    source="scikit-learn's default",
                ),
            },
        ),
        ProjectorSpec(
            name="pca",
            summary="Principal components, with the sign that makes the largest loading positive.",
            load="prunebench_projectors.linear:pca",
            paper="Pearson 1901",
            stochastic=False,
            params={"n_components": _COMPONENTS},
        ),
        ProjectorSpec(
            name="identity",
            summary="The features themselves.",
            load="prunebench_projectors.linear:identity",
            stochastic=False,
        ),
    ]  # fmt: skip
