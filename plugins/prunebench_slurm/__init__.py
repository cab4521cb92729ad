"""Tasks as jobs of SLURM, by submitit."""

from prunebench import ExecutorSpec, Param, hookimpl


@hookimpl
def prunebench_executors() -> list[ExecutorSpec]:
    """Declare the executor; submitit is imported where it is used."""
    texts = {
        "partition": "Partition of the jobs.",
        "account": "Account that the jobs are charged to.",
        "qos": "Quality of service.",
        "constraint": "Features that a node must have.",
        "nodelist": "Nodes that the jobs may run on.",
        "exclude": "Nodes that they may not run on.",
        "gres": "Generic resources, in place of gpus.",
    }
    return [
        ExecutorSpec(
            name="slurm",
            summary="Arrays of SLURM jobs, one job per task, queued again when they are preempted.",
            load="prunebench_slurm.execute:SlurmExecutor",
            slots=256,
            params={
                **{name: Param(default="", doc=doc) for name, doc in texts.items()},
                "minutes": Param(default=240, minimum=1, unit="min", doc="Time limit of one job."),
                "gpus": Param(default=0, minimum=0, unit="GPUs", doc="GPUs of one task."),
                "cpus": Param(default=0, minimum=0, unit="cores", doc="Cores of one task; 0: as many as threads."),
                "memory_gib": Param(default=0.0, minimum=0.0, unit="GiB", doc="Memory of one job; 0: as usual."),
                "requeues": Param(
                    default=3, minimum=0, doc="How often a job that has reached its time limit is queued again."
                ),
                "cluster": Param(
                    default="slurm",
                    choices=("slurm", "debug"),
                    doc='"debug" runs the jobs in this process, to try things without SLURM.',
                ),
            },
        )
    ]
