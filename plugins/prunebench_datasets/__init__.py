"""Image data sets, read from files that are there; nothing is downloaded."""

from collections.abc import Iterable

from prunebench import DatasetSpec, Param, hookimpl


@hookimpl
def prunebench_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="digits",
            summary="1,797 grey digits of 8x8 pixels; ships with scikit-learn.",
            load="prunebench_datasets.digits:load",
            paper="Alpaydin and Kaynak 1998",
            image_licence="BSD-3-Clause",
            n_classes=10,
            obtain="it ships with scikit-learn: install prunebench again",
        ),
        DatasetSpec(
            name="fashion-mnist",
            summary="70,000 grey images of clothing, 28x28.",
            load="prunebench_datasets.idx:load_fashion_mnist",
            paper="Xiao, Rasul and Vollgraf 2017",
            image_licence="MIT",
            n_classes=10,
            obtain="`apt-get install dataset-fashion-mnist`, or put torchvision's FashionMNIST/raw below a data root "
            "(--data DIR or PRUNEBENCH_DATA)",
        ),
        DatasetSpec(
            name="mnist",
            summary="70,000 grey digits, 28x28.",
            load="prunebench_datasets.idx:load_mnist",
            paper="LeCun, Bottou, Bengio and Haffner 1998",
            n_classes=10,
            obtain="put torchvision's MNIST/raw below a data root (--data DIR or PRUNEBENCH_DATA)",
        ),
        DatasetSpec(
            name="cifar10",
            summary="60,000 colour photographs of ten kinds of things, 32x32.",
            load="prunebench_datasets.cifar:load_cifar10",
            paper="Krizhevsky 2009",
            n_classes=10,
            obtain="put torchvision's cifar-10-batches-py or cifar10.npz (train_images, train_labels, test_images, "
            "test_labels, class_names) below a data root (--data DIR or PRUNEBENCH_DATA)",
        ),
        DatasetSpec(
            name="cifar100",
            summary="60,000 colour photographs of a hundred kinds of things, 32x32.",
            load="prunebench_datasets.cifar:load_cifar100",
            paper="Krizhevsky 2009",
            n_classes=100,
            obtain="put torchvision's cifar-100-python or cifar100.npz (train_images, train_labels, test_images, "
            "test_labels, class_names) below a data root (--data DIR or PRUNEBENCH_DATA)",
        ),
        DatasetSpec(
            name="svhn",
            summary="99,289 colour photographs of house numbers, cropped to a digit, 32x32.",
            load="prunebench_datasets.svhn:load",
            paper="Netzer, Wang, Coates, Bissacco, Wu and Ng 2011",
            image_licence="non-commercial use only",
            n_classes=10,
            obtain="put train_32x32.mat and test_32x32.mat, or a folder svhn with both, below a data root "
            "(--data DIR or PRUNEBENCH_DATA); with extra = true, extra_32x32.mat beside them",
            params={
                "extra": Param(default=False, doc="Append the 531,131 easier extra digits to the training split."),
            },
        ),
        DatasetSpec(
            name="image-folder",
            summary="Your own images, one folder for each class, with or without train and test folders around them.",
            load="prunebench_datasets.folder:load",
            obtain="name the folder with params = { path = ... }; it holds one folder for each class",
            params={
                "path": Param(default="images", doc="The folder, absolute or below a data root."),
                "image_size": Param(
                    default=224, doc="Shorter side after resizing, then a centre crop.", minimum=8, unit="pixels"
                ),
                "train": Param(
                    default="", doc="Folder of the training images, where it is not named train or the like; "
                    "'.' says that the folder itself holds the classes.",
                ),
                "test": Param(default="", doc="Folder of the test images, where it is not named test or the like."),
                "test_fraction": Param(
                    default=0.2, doc="Share of each class that becomes the test split where there is none.",
                    minimum=0.01, maximum=0.9,
                ),
            },
        ),
    ]  # fmt: skip
