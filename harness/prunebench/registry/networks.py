"""Networks in registry.toml: what they are, and where their weights come from."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from prunebench.contexts import Arch
from prunebench.registry.fields import Broken, Dtype, Head, Hex, Names, RecipeName, Table, Text

_WEIGHTS = Meta(description='Write "hub", "random", { file = "NAME" } (with package = "NAME", where it is in an '
                'installed one) or { train = "RECIPE" }.')  # fmt: skip


class Weights(Table, frozen=True, rename={"recipe": "train"}):
    """Where the weights of a network come from: "hub", "file" (below a data root, or in an installed package),
    "trained" (here), or "random"."""

    ONE_OF: ClassVar[tuple[Names, ...]] = (("train",), ("file",))
    source: str = "file"
    file: Annotated[Text, Meta(description="Name of the file.")] = ""
    package: Annotated[Text, Meta(description="Installed distribution that brings the file.")] = ""
    sha256: Hex = ""
    recipe: RecipeName = ""

    @property
    def place(self) -> str:
        """The name of the file, after that of the package where it is in one."""
        return f"{self.package}:{self.file}" if self.package else self.file

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        if "package" in given and "train" in given:
            yield ("package",), "goes with file, not with train", "remove it, or write file instead of train"


class NetworkTable(Table, frozen=True):
    """A network that scores (backbone) or is trained on subsets (arch)."""

    ONE_OF: ClassVar[tuple[Names, ...]] = (("timm",), ("provider", "model"))
    name: str
    timm: Annotated[Text, Meta(description="Model of timm: short for that model of the provider timm.")] = ""
    provider: Annotated[Text, Meta(description="Plugin that provides the network.")] = ""
    model: Annotated[Text, Meta(description="Name of the network there.")] = ""
    image_size: Annotated[int, Meta(ge=1, le=10_000, description="Side of the input in pixels.")] | None = None
    mean: Annotated[tuple[float, ...], Meta(description="Means of the channels; default: the data set's.")] = ()
    std: Annotated[tuple[float, ...], Meta(description="Standard deviations of the channels.")] = ()
    interpolation: Annotated[str, Meta(description="How images are resized.")] = ""
    dtype: Annotated[Dtype, Meta(description='Type in which a GPU computes features; "half": bfloat16 if it can.')] = (
        "float32"
    )
    kwargs: Annotated[Mapping[str, Any], Meta(description="Arguments of the network's constructor.")] = {}
    weights: Annotated[Literal["hub", "random"] | Weights, _WEIGHTS] = "random"
    control: Annotated[bool, Meta(description="Is it on the board only as a control?")] = False
    head: Annotated[
        Head, Meta(description='What predicts: its "own" head, or a linear one "fitted" to its features.')
    ] = "own"

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        mean, std = given.get("mean", ()), given.get("std", ())
        if mean is not None and std is not None and len(mean) != len(std):
            yield ("std",), f"expected one deviation per mean, got {len(std)} and {len(mean)}", "write both, or neither"


class Network(Struct, frozen=True):
    """A backbone or training architecture; `control` marks one that is on the board only as a control.
    head: "fitted" for predictions of cross-fitted linear heads on its features, in place of its own."""

    arch: Arch
    weights: Weights
    control: bool = False
    head: Head = "own"
