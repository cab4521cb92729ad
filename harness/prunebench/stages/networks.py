"""Networks that learners get: untrained ones to train, and a trained one that teaches."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prunebench.contexts import Arch, Dataset
from prunebench.errors import CorruptArtefact, DataError, WeightsMissing
from prunebench.stages.bench import Bench
from prunebench.stages.embed import arch_of, find_weights
from prunebench.store import Artefact, map_safetensors
from prunebench.tasks import Task


def build(bench: Bench, arch: Arch, data: Dataset) -> Any:
    """Return an untrained network for a data set; raises DataError for one without images."""
    if data.train.images is None:
        text = f"data set {data.name!r} has features alone, and no images to train a network on"
        raise DataError(text, "name a recipe whose learner trains on features (`prunebench list learners`)")
    _, height, _, channels = data.train.images.shape
    provider = bench.catalogue.backbone(arch.provider).load()
    return provider.build(arch, data.n_classes, channels, arch.image_size or height)


def teacher(bench: Bench, task: Task, data: Dataset, inputs: Mapping[str, Artefact]) -> Any:
    """Return a fresh copy of the network that teaches, in eval mode and without gradients of its own, on the processor.
    It takes images as its student does.  Raises WeightsMissing for weights that are not here or do not fit."""
    import torch

    bench.plugin(task.config["teacher"]["plugin"])
    arch, source = arch_of(task.config["teacher"]), task.config["weights"]
    if source["source"] == "file":
        name, package = (task.locators[part] for part in ("weights_file", "weights_package"))
        path, _ = find_weights(name, source["sha256"], bench.settings.data_roots, package)
        state, mean, std = _in_file(path), arch.mean or data.mean, arch.std or data.std
    else:
        state, mean, std = inputs["weights"].arrays, data.mean, data.std
    tensors = {name: torch.tensor(array) for name, array in state.items() if "/" not in name}
    with torch.random.fork_rng(devices=[]):
        network = build(bench, arch, data)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        text = f"the weights of the teacher do not fit {arch.model}: {' '.join(str(error).split())[:500]}"
        raise WeightsMissing(text, "name a network that predicts the classes of this data set") from error
    network.register_forward_pre_hook(_as_trained(arch.image_size, (data.mean, data.std), (mean, std)))
    return network.requires_grad_(False).eval()


def _in_file(path: Path) -> Mapping[str, Any]:
    try:
        return map_safetensors(path)
    except CorruptArtefact as error:
        text = f"the weights of a teacher are read from safetensors files, and {path.name} is none"
        raise WeightsMissing(text, "save its state dict with safetensors.torch.save_file") from error


def _as_trained(
    side: int | None, given: tuple[tuple[float, ...], ...], expected: tuple[tuple[float, ...], ...]
) -> Callable[[Any, tuple[Any]], tuple[Any]]:
    """Return a hook that turns images normalised by `given` (means and deviations) into `side` pixels and `expected`
    statistics; a deviation of 0 counts as 1."""
    import torch
    from torch.nn.functional import interpolate

    (mean_a, std_a), (mean_b, std_b) = (
        (torch.tensor(mean or (0.0,)), torch.tensor([value or 1.0 for value in std or (1.0,)]))
        for mean, std in (given, expected)
    )
    scale, shift = (std_a / std_b).view(-1, 1, 1), ((mean_a - mean_b) / std_b).view(-1, 1, 1)

    def hook(network: Any, images: tuple[Any]) -> tuple[Any]:
        (seen,) = images
        if side is not None and seen.shape[-1] != side:
            seen = interpolate(seen, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return (seen if given == expected else seen * scale.to(seen.device) + shift.to(seen.device),)

    return hook
