"""Any timm model as a backbone, and the small networks of the pruning papers registered with timm."""

from collections.abc import Iterable

from prunebench import BackboneSpec, hookimpl


@hookimpl
def prunebench_backbones() -> Iterable[BackboneSpec]:
    return [
        BackboneSpec(
            name="timm",
            summary="Any model that timm can make; weights from the hub, a file, or trained here.",
            load="prunebench_timm.provider:TIMM",
            pictures="prunebench_timm.pictures:open_pictures",
            paper="Wightman 2019",
            check_model="test_resnet",
        )
    ]
