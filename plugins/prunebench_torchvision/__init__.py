"""Classifiers of torchvision as backbones, for weights under the names of torchvision."""

from collections.abc import Iterable

from prunebench import BackboneSpec, hookimpl


@hookimpl
def prunebench_backbones() -> Iterable[BackboneSpec]:
    return [
        BackboneSpec(
            name="torchvision",
            summary="Any classifier of torchvision, such as squeezenet1_1; weights from a file, or trained here.",
            load="prunebench_torchvision.provider:TORCHVISION",
            paper="TorchVision maintainers and contributors 2016",
            check_model="squeezenet1_1",
        )
    ]
