"""Tasks on a Ray cluster, or on a local one that is started for the run."""

from prunebench import ExecutorSpec, Param, hookimpl


@hookimpl
def prunebench_executors() -> list[ExecutorSpec]:
    """Declare the executor; Ray is imported where it is used."""
    return [
        ExecutorSpec(
            name="ray",
            summary="Warm workers on the nodes of a Ray cluster, each with its share of a GPU.",
            load="prunebench_ray.execute:RayExecutor",
            slots=64,
            params={
                "address": Param(
                    default="",
                    doc='Of a cluster: "auto", host:port or ray://host:port; empty: RAY_ADDRESS, else a local one.',
                ),
                "gpus": Param(default=0.0, minimum=0.0, unit="GPUs", doc="GPUs of one task; 0.5 lets two share one."),
                "cpus": Param(default=0.0, minimum=0.0, unit="cores", doc="Cores of one task; 0: as many as threads."),
                "memory_gib": Param(
                    default=0.0, minimum=0.0, unit="GiB", doc="Main memory that Ray reserves for one task; 0: none."
                ),
                "retries": Param(
                    default=2, minimum=0, doc="How often a task starts again that was lost with the node it ran on."
                ),
            },
        )
    ]
