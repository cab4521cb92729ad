"""Networks of the pruning papers, registered with timm: importing this module makes `timm.create_model` know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class _Classifier(nn.Module):
    """The part of timm's interface that all networks here share; the classifier is a linear layer."""

    num_classes: int
    num_features: int
    head_hidden_size: int
    classifier_name: str

    def get_classifier(self) -> nn.Module:
        """Return the classifier."""
        module: nn.Module = getattr(self, self.classifier_name)
        return module

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one of another width; 0 removes it."""
        self.num_classes = num_classes
        setattr(self, self.classifier_name, _linear(self.num_features, num_classes))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map, or the vector before the classifier."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return logits, or the penultimate features with `pre_logits`."""
        pooled = x.mean(dim=(2, 3)) if x.ndim == 4 else x
        if pre_logits:
            return pooled
        logits: Tensor = self.get_classifier()(pooled)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def _linear(inputs: int, num_classes: int) -> nn.Module:
    return nn.Linear(inputs, num_classes) if num_classes else nn.Identity()


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return functional.relu(out + self.shortcut(x))


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class _PadShortcut(nn.Module):
    """The parameter-free shortcut: every second pixel, and zeros for the channels that are new."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class ResNet18(_Classifier):
    """ResNet-18 for 32x32 or 28x28 images: a 3x3 stem without pooling (DeepCore)."""

    classifier_name = "linear"

    def __init__(self, num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.num_classes, self.num_features, self.head_hidden_size = num_classes, 512, 512
        self.conv1 = nn.Conv2d(in_chans, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages, inputs = [], 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            first = _BasicBlock(inputs, outputs, stride, _projection(inputs, outputs, stride))
            stages.append(nn.Sequential(first, _BasicBlock(outputs, outputs, 1, nn.Identity())))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.linear = _linear(512, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = self.stages(functional.relu(self.bn1(self.conv1(x))))
        return features


class LeNet(_Classifier):
    """LeNet-5 with ReLU for 28x28 (one channel) or 32x32 images (DeepCore)."""

    classifier_name = "fc_3"

    def __init__(self, num_classes: int = 10, in_chans: int = 1) -> None:
        super().__init__()
        self.num_classes, self.num_features, self.head_hidden_size = num_classes, 84, 84
        self.features = nn.Sequential(
            nn.Conv2d(in_chans, 6, 5, padding=2 if in_chans == 1 else 0),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.fc_1 = nn.Linear(400, 120)
        self.fc_2 = nn.Linear(120, 84)
        self.fc_3 = _linear(84, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        flat = self.features(x).flatten(1)
        return functional.relu(self.fc_2(functional.relu(self.fc_1(flat))))


class CifarResNet(_Classifier):
    """ResNet-20, 32, 44, 56 for CIFAR with parameter-free shortcuts (He et al. 2016, section 4.2)."""

    classifier_name = "linear"

    def __init__(self, blocks: int, num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.num_classes, self.num_features, self.head_hidden_size = num_classes, 64, 64
        self.conv1 = nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for number, (outputs, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
            stage = []
            for position in range(blocks):
                step = stride if position == 0 else 1
                same = inputs == outputs and step == 1
                shortcut = nn.Identity() if same else _PadShortcut(inputs, outputs, step)
                stage.append(_BasicBlock(inputs, outputs, step, shortcut))
                inputs = outputs
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.linear = _linear(64, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        for name in ("layer1", "layer2", "layer3"):
            out = getattr(self, name)(out)
        return out


def _configured(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int, channels: int
) -> nn.Module:
    config: dict[str, Any] = {
        "input_size": (channels, size, size),
        "mean": mean if len(mean) == channels else mean[:1] * channels,
        "std": std if len(std) == channels else std[:1] * channels,
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "num_classes": 10,
    }
    for name in ("pretrained_cfg", "default_cfg"):
        setattr(model, name, config)
    return model


def _refuse(name: str, pretrained: bool, others: dict[str, Any]) -> None:
    """Raise where weights of the hub or arguments are asked for that these networks do not have."""
    if pretrained:
        raise RuntimeError(f"{name} has no weights on the hub: give a file, or train it here")
    # timm hands every model some arguments of its own, and leaves them None.
    if given := sorted(key for key, value in others.items() if value is not None):
        raise TypeError(f"{name}() takes num_classes and in_chans, and got {', '.join(given)}")


@register_model
def deepcore_resnet18(pretrained: bool = False, num_classes: int = 10, in_chans: int = 3, **others: Any) -> nn.Module:
    """ResNet-18 for small images; 11,173,962 parameters at 3 channels and 10 classes."""
    _refuse("deepcore_resnet18", pretrained, others)
    return _configured(ResNet18(num_classes, in_chans), CIFAR_MEAN, CIFAR_STD, 32, in_chans)


@register_model
def deepcore_lenet(pretrained: bool = False, num_classes: int = 10, in_chans: int = 1, **others: Any) -> nn.Module:
    """LeNet; 61,706 parameters at 1 channel and 10 classes."""
    _refuse("deepcore_lenet", pretrained, others)
    return _configured(LeNet(num_classes, in_chans), (0.1307,), (0.3081,), 28 if in_chans == 1 else 32, in_chans)


def _register_cifar(depth: int) -> Callable[..., nn.Module]:
    def build(pretrained: bool = False, num_classes: int = 10, in_chans: int = 3, **others: Any) -> nn.Module:
        _refuse(build.__name__, pretrained, others)
        return _configured(CifarResNet((depth - 2) // 6, num_classes, in_chans), CIFAR_MEAN, CIFAR_STD, 32, in_chans)

    build.__name__ = build.__qualname__ = f"cifar_resnet{depth}"
    build.__doc__ = f"ResNet-{depth} for CIFAR with parameter-free shortcuts."
    build.__module__ = __name__
    return build


cifar_resnet20 = register_model(_register_cifar(20))
cifar_resnet32 = register_model(_register_cifar(32))
cifar_resnet44 = register_model(_register_cifar(44))
cifar_resnet56 = register_model(_register_cifar(56))


def penultimate(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return (penultimate features, logits) of a timm model in one pass; logits [n, 0] where it has no classifier."""
    timm_model: Any = model  # timm's interface is a convention, not a type
    maps = timm_model.forward_features(x)
    features = timm_model.forward_head(maps, pre_logits=True)
    classifier = timm_model.get_classifier()
    fits = isinstance(classifier, nn.Linear) and features.ndim == 2 and features.shape[1] == classifier.in_features
    if not getattr(timm_model, "num_classes", 1):
        logits = features.new_zeros((len(features), 0))
    else:
        logits = classifier(features) if fits else timm_model.forward_head(maps)
    return features if features.ndim == 2 else torch.flatten(features, 1), logits
