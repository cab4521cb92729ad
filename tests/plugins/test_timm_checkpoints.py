"""Checkpoints as authors publish them: nested, wrapped, with two heads or none, of another size; and a hub without a
network."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from prunebench import Embedding
from prunebench_timm import loading, provider
from prunebench_timm.loading import answers, from_file
from prunebench_timm.provider import TIMM
from timm_networks import assert_close, by_hand, embed, network, normalised, photos, refusal, state_of, untrained

SMALL_VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8}
ARCH = {"mean": (0.5,), "std": (0.25,)}


def renamed(state: dict[str, Tensor], before: str) -> dict[str, Tensor]:
    return {f"{before}{name}": value for name, value in state.items()}


def of_file(model: str, content: Any, folder: Path, **arch: Any) -> Embedding:
    path = folder / "w.pth"
    torch.save(content, path)
    return embed(model, source="file", weights=path, arch={**ARCH, **arch})


def nested(state: dict[str, Tensor], other: dict[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """Yield layouts of a checkpoint that all stand for `state`; `other` are weights that are not meant."""
    for name in ("model", "state_dict", "model_ema", "state_dict_ema", "model_state_dict", "net", "mine"):
        yield name, {"epoch": 3, name: state, "args": argparse.Namespace(lr=0.1)}
    yield "averaged", {"model": other, "model_ema": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    yield "averaged by timm", {"state_dict": other, "state_dict_ema": state, "metric": 0.9}
    yield "two deep", {"model": {"state_dict": state}, "iteration": torch.tensor(7)}
    for prefix in ("model.", "module.", "_orig_mod.", "_orig_mod.module.", "module.model.", "model._orig_mod.module."):
        yield prefix, {"state_dict": renamed(state, prefix)}
    yield "beside tensors", renamed(state, "model.")


def test_nested_and_wrapped_checkpoints_are_opened(tmp_path: Path) -> None:
    model = untrained("deepcore_lenet", 10, 3, seed=5)
    expected = by_hand(model, normalised(photos(), 0.5, 0.25))[1]
    for title, content in nested(state_of(model), state_of(untrained("deepcore_lenet", 10, 3, seed=6))):
        found = of_file("deepcore_lenet", content, tmp_path)
        assert np.allclose(found.logits, expected, atol=1e-5), title
    save_file(renamed(state_of(model), "_orig_mod.model."), tmp_path / "w.safetensors")
    found = embed("deepcore_lenet", source="file", weights=tmp_path / "w.safetensors", arch=ARCH)
    assert_close(found.logits, expected)


def test_a_name_of_the_model_that_begins_as_a_wrapper_does_stays(tmp_path: Path) -> None:
    model = nn.Module()
    model.model, model.head = nn.Linear(2, 3), nn.Linear(3, 4)
    model.get_classifier = lambda: model.head  # type: ignore[method-assign, assignment]
    from prunebench_timm.weights import matched

    for prefix in ("", "module.", "model."):
        assert matched(model, renamed(state_of(model), prefix))[0].keys() == model.state_dict().keys()


def test_a_file_with_two_networks_of_one_name_is_refused(tmp_path: Path) -> None:
    state = state_of(untrained("deepcore_lenet"))
    torch.save({**renamed(state, "model."), **renamed(state, "module.")}, tmp_path / "w.pth")
    assert (
        "does not fit deepcore_lenet: missing"
        in refusal("deepcore_lenet", source="file", weights=tmp_path / "w.pth")[0]
    )


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"state_dict": {"epoch": 1}}, {"a": {"x": 1}, "b": {}}])
def test_a_file_without_named_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert "it holds no named tensors, only " in refusal(source="file", weights=tmp_path / "w.pth")[0]


@pytest.mark.parametrize(
    ("model", "n_classes", "kwargs"),
    [
        ("deit_tiny_distilled_patch16_224", 7, SMALL_VIT),
        ("levit_128s", 7, {}),  # its heads normalise first
        ("vit_small_patch14_dinov2", 0, SMALL_VIT),
        ("vit_base_patch16_siglip_224", 0, SMALL_VIT),
        ("test_resnet", 0, {}),
        ("test_convnext", 0, {}),
    ],
)
def test_a_checkpoint_has_the_heads_that_it_has_or_none(
    model: str, n_classes: int, kwargs: dict[str, Any], tmp_path: Path
) -> None:
    size = 32 if kwargs else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        reference = loading.create(network(model, kwargs=kwargs), n_classes, 3, size).eval()
    path = tmp_path / "w.pth"
    torch.save({"model": state_of(reference)}, path)
    fields = {**ARCH, "kwargs": kwargs, "image_size": size}
    assert TIMM.outputs(network(model, **fields), "file", path) == n_classes
    found = embed(model, photos(2), source="file", weights=path, arch=fields)
    seen = found.preprocessing
    how = provider.Preprocessing(seen["image_size"], 3, (0.5,), (0.25,), seen["interpolation"])
    with torch.inference_mode():
        x = provider.preprocess(torch.tensor(photos(2)), how)
        features: Any = reference.forward_head(reference.forward_features(x), pre_logits=True)  # type: ignore[operator]
        logits = reference(x)
    assert_close(found.features, features.flatten(1))
    assert found.logits.shape == (2, n_classes)
    if n_classes:
        assert_close(found.logits, logits)


def test_weights_of_the_authors_are_converted_as_timm_does(tmp_path: Path) -> None:
    arch = network("vit_small_patch14_dinov2", kwargs=SMALL_VIT, image_size=32, **ARCH)
    state = state_of(loading.create(arch, 0, 3, 32))
    torch.save({**state, "mask_token": torch.zeros(1, 32)}, tmp_path / "w.pth")
    model, origin = from_file(arch, tmp_path / "w.pth")
    assert origin["matched"] == "as timm converts them"
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_positions_are_fitted_to_a_size_that_is_asked_for_and_refused_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(state_of(untrained("test_vit", 7, img_size=96)), path)
    message, hint = refusal("test_vit", source="file", weights=path)
    assert "of another shape: pos_embed: [1, 37, 64] for [1, 101, 64]" in message
    assert "image_size" in hint
    found = embed("test_vit", source="file", weights=path, arch={**ARCH, "image_size": 48})
    assert found.preprocessing["image_size"] == 48
    assert found.logits.shape == (6, 7)


@pytest.mark.parametrize("model", ["vit_small_patch16_2244", "ResNet-18", "resnet18.a1_in2k", "cifar_resnet21"])
def test_a_misspelt_model_gets_the_nearest_names_and_no_word_of_a_network(model: str) -> None:
    for source in ("hub", "random"):
        message, hint = refusal(model, source=source)
        assert "knows no model" in message
        assert hint.startswith("did you mean ")
        assert "network" not in hint


# --------------------------------------------------------------------------------------- without a network


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of the hub that has fetched nothing so far, and no proxy."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def is_refused_at_once() -> bool:
    from huggingface_hub import constants

    before, begun = constants.HF_HUB_OFFLINE, time.monotonic()
    message, hint = refusal("test_resnet.r160_in1k", source="hub")
    assert "cannot be fetched from the hub: https://huggingface.co cannot be reached" in message
    assert "weights = { file" in hint
    assert before == constants.HF_HUB_OFFLINE
    return time.monotonic() - begun < 30  # the client alone tries for about a minute


def test_a_network_that_is_blocked_is_found_out_at_once(empty_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def blocked(*args: Any, **options: Any) -> Any:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", blocked)
    assert is_refused_at_once()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://no-such-host.invalid:3128"])
def test_a_proxy_that_is_not_there_is_found_out_at_once(
    proxy: str, empty_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    assert is_refused_at_once()


def test_a_server_that_never_answers_is_not_waited_for() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes the connection, and says nothing
        assert not answers(f"http://127.0.0.1:{server.getsockname()[1]}", seconds=0.2)


@pytest.mark.parametrize(("status", "expected"), [(200, True), (404, True), (401, True), (502, False), (407, False)])
def test_an_answer_tells_whether_the_hub_is_there(status: int, expected: bool) -> None:
    import http.server
    import threading

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        before = {name: os.environ.get(name) for name in ("no_proxy",)}
        os.environ["no_proxy"] = "127.0.0.1"
        try:
            assert answers(f"http://127.0.0.1:{server.server_port}") == expected
        finally:
            os.environ.pop("no_proxy")
            os.environ.update({name: value for name, value in before.items() if value is not None})
