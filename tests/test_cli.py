"""What people meet on the command line: answers, and errors that say what to do."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import struct
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from prunebench.cli import VERBS
from prunebench.cli.progress import time_left
from registries import DIGITS, TRAINING

REGISTRY = (
    DIGITS
    + """
[dataset.small]
spec = "image-folder"
params = { path = "images", image_size = 16 }

[dataset.fashion-mnist]

[dataset.cifar10]

[method.odd]
scorer = "moderate"
params = { centre = "mean" }

[suite.tiny]
dataset = "digits"
methods = ["random"]
backbones = ["untrained"]
pruning_rates = ["0.9"]
seeds = 1
"""
    + TRAINING
)


@pytest.fixture
def shell(sandbox):
    """A sandbox with a registry that a test can change."""

    def write(*changes: tuple[str, str]) -> None:
        text = REGISTRY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (sandbox.folder / "registry.toml").write_text(text, encoding="utf-8")

    write()
    sandbox_write = write
    return sandbox, sandbox_write


def failure(done: subprocess.CompletedProcess, code: int) -> str:
    """Check that an error is a message with a hint and its exit code, and return both lines."""
    assert done.returncode == code, f"{done.returncode}: {done.stderr}"
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:"))]
    assert len(lines) == 2, done.stderr
    return "\n".join(lines)


def test_an_unknown_suite_is_answered_with_the_nearest(shell):
    sandbox, _ = shell
    assert "did you mean 'tiny'?" in failure(sandbox.call("run", "tinny"), 2)


def test_an_unknown_command_is_answered_with_the_nearest(shell):
    sandbox, _ = shell
    assert "did you mean 'leaderboard'?" in failure(sandbox.call("leaderbord"), 2)


def test_an_unknown_scorer_is_answered_with_the_nearest(shell):
    sandbox, write = shell
    write(('methods = ["random"]', 'methods = ["randon"]'))
    assert "did you mean 'random'?" in failure(sandbox.call("run", "tiny", "--executor", "serial"), 2)


def test_an_unknown_parameter_is_answered_with_the_nearest(shell):
    sandbox, write = shell
    write(('methods = ["random"]', 'methods = ["odd"]'))
    text = failure(sandbox.call("run", "tiny", "--executor", "serial"), 2)
    assert "'moderate' has no parameter 'centre'" in text
    assert "did you mean 'center'?" in text


def test_a_method_without_its_projectors_is_answered_with_the_key_to_add(shell):
    sandbox, write = shell
    write(('methods = ["random"]', 'methods = ["prototype"]'))
    assert "add projectors = [...] to [suite.tiny]" in failure(sandbox.call("run", "tiny", "--executor", "serial"), 2)


def test_a_typo_in_the_registry_is_answered_with_key_and_line(shell):
    sandbox, write = shell
    write(("pruning_rates", "prunning_rates"))
    text = failure(sandbox.call("run", "tiny", "--executor", "serial"), 3)
    line = (sandbox.folder / "registry.toml").read_text().splitlines().index('prunning_rates = ["0.9"]') + 1
    assert f"registry.toml, line {line}: suite.tiny.prunning_rates: unknown key" in text
    assert "did you mean 'pruning_rates'?" in text


@pytest.mark.parametrize("keep", ["0", "1.5", "-0.1", "0,5"])
def test_a_keep_fraction_outside_its_range_is_answered(shell, keep):
    sandbox, _ = shell
    assert "keep = " in failure(sandbox.call("run", "tiny", f"--keep={keep}"), 2)


def test_missing_data_are_answered_with_where_to_put_them(shell):
    sandbox, write = shell
    write(('[suite.tiny]\ndataset = "digits"', '[suite.tiny]\ndataset = "cifar10"'))
    text = failure(sandbox.call("run", "tiny", "--data", str(sandbox.folder / "nowhere")), 4)
    assert "cifar-10-batches-py" in text
    assert "PRUNEBENCH_DATA" in text


def test_a_wrong_fingerprint_is_answered_before_anything_is_computed(shell):
    sandbox, write = shell
    write(("[dataset.digits]", '[dataset.digits]\nfingerprint = "beef"'))
    text = failure(sandbox.call("run", "tiny", "--executor", "serial"), 4)
    assert "registry.toml expects beef" in text
    assert not (sandbox.folder / "cache" / "cell").exists()


def test_a_damaged_data_file_is_named(shell):
    sandbox, write = shell
    write(('[suite.tiny]\ndataset = "digits"', '[suite.tiny]\ndataset = "fashion-mnist"'))
    raw = sandbox.folder / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    header = struct.pack(">BBBBiii", 0, 0, 8, 3, 10, 28, 28)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + b"\0" * 100))
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (raw / name).write_bytes(struct.pack(">BBBBi", 0, 0, 8, 1, 1) + b"\0")
    assert "train-images-idx3-ubyte.gz" in failure(sandbox.call("run", "tiny", "--executor", "serial"), 4)


def image_folder(folder, counts: dict[str, int]) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / "data" / "images" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(
                folder / "data" / "images" / name / f"{number}.png"
            )


def test_an_empty_class_is_named(shell):
    sandbox, write = shell
    write(('[suite.tiny]\ndataset = "digits"', '[suite.tiny]\ndataset = "small"'))
    image_folder(sandbox.folder, {"cat": 5, "dog": 0})
    assert "dog has no images" in failure(sandbox.call("run", "tiny", "--executor", "serial"), 4)


def test_a_class_without_a_training_sample_is_named(shell):
    from prunebench.contexts import Dataset, Split
    from prunebench.errors import DataError
    from prunebench.stages.data import load_dataset

    def split(labels):
        images = np.zeros((len(labels), 2, 2, 1), np.uint8)
        return Split(
            images=images, labels=np.array(labels), ids=tuple(f"{len(labels)}-{row}" for row in range(len(labels)))
        )

    for labels, fault in (([0, 0, 2], "no training sample of class b"), ([0, 1], "2 training samples for 3 classes")):
        data = Dataset(name="x", train=split(labels), test=split([0]), class_names=("a", "b", "c"))
        entry = SimpleNamespace(spec=SimpleNamespace(obtain=""), load=lambda data=data: lambda context: data)
        with pytest.raises(DataError, match=fault):
            load_dataset(entry, {}, ())


def test_own_images_go_through_the_whole_pipeline(shell):
    sandbox, write = shell
    write(('[suite.tiny]\ndataset = "digits"', '[suite.tiny]\ndataset = "small"'), ('"0.9"', '"0.5"'))
    image_folder(sandbox.folder, {"cat": 10, "dog": 14})
    done = sandbox.call("run", "tiny", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    record = json.loads((sandbox.folder / "results" / "tiny" / "small" / "random.jsonl").read_text().splitlines()[0])
    assert (record["n_train"], record["n_keep"]) == (19, 10)


def weights_registry(write, sha256: str) -> None:
    write(
        ('weights = "random"', f'weights = {{ file = "w.safetensors", sha256 = "{sha256}" }}'),
        ('methods = ["random"]', 'methods = ["moderate"]'),
    )


def test_missing_weights_are_answered_with_where_to_put_them(shell):
    sandbox, write = shell
    weights_registry(write, "00")
    text = failure(sandbox.call("run", "tiny", "--executor", "serial"), 4)
    assert "w.safetensors" in text
    assert "data root" in text


def test_weights_of_another_version_are_refused(shell):
    sandbox, write = shell
    weights_registry(write, "00")
    (sandbox.folder / "w.safetensors").write_bytes(b"x")
    assert "00 is expected" in failure(sandbox.call("run", "tiny", "--executor", "serial"), 4)


def test_weights_that_do_not_fit_the_model_are_answered_with_the_keys(shell):
    import hashlib

    from safetensors.numpy import save_file

    sandbox, write = shell
    path = sandbox.folder / "w.safetensors"
    save_file({"conv1.weight": np.zeros((3, 3), np.float32)}, path)
    weights_registry(write, hashlib.sha256(path.read_bytes()).hexdigest())
    done = sandbox.call("run", "tiny", "--executor", "serial")
    assert done.returncode == 4, done.stderr
    assert "w.safetensors does not fit test_resnet" in done.stderr
    assert "missing:" in done.stderr


def test_a_results_folder_without_records_is_answered(shell):
    sandbox, _ = shell
    assert "prunebench run SUITE" in failure(sandbox.call("leaderboard"), 2)


def test_a_stale_board_is_named(shell):
    sandbox, _ = shell
    assert sandbox.call("run", "tiny", "--executor", "serial").returncode == 0
    assert sandbox.call("leaderboard").returncode == 0
    page = sandbox.folder / "results" / "board" / "accuracy.csv"
    page.write_text(page.read_text() + "x")
    assert "accuracy.csv" in failure(sandbox.call("leaderboard", "--check"), 7)


def test_status_without_a_run_is_answered(shell):
    sandbox, _ = shell
    assert "prunebench run SUITE" in failure(sandbox.call("status"), 2)


def test_a_device_that_is_not_understood_is_answered(shell):
    sandbox, _ = shell
    assert "0,1" in failure(sandbox.call("run", "tiny", "--devices", "gpu"), 2)


def test_the_doctor_tells_what_is_there_and_what_is_missing(shell):
    sandbox, write = shell
    write(("[dataset.small]", "[dataset.other]"))
    sandbox.install("broken-one", "raise RuntimeError('x')")
    done = sandbox.call("doctor", "--json", "--data", str(sandbox.folder / "nowhere"))
    assert done.returncode == 1
    findings = {row["topic"]: row for row in json.loads(done.stdout)}
    assert findings["plugin broken_one (broken-one 1.0)"]["state"] == "problem"
    assert findings["data set digits"]["state"] == "ok"
    assert findings["data set cifar10"]["state"] == "note"
    assert "PRUNEBENCH_DATA" in findings["data set cifar10"]["hint"]


def test_the_traceback_is_shown_on_demand(shell):
    sandbox, _ = shell
    done = sandbox.call("--traceback", "run", "tinny")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_help_names_every_verb_with_one_sentence(shell):
    sandbox, _ = shell
    text = sandbox.call("--help").stdout
    for verb in VERBS:
        assert re.search(rf"^  {verb} +[A-Z].*", text, re.MULTILINE)
    assert sandbox.call().stdout == text


def test_the_help_of_a_group_has_whole_sentences(sandbox):
    for group in ("cache", "export", "registry"):
        assert "..." not in sandbox.call(group, "--help").stdout.split("Commands:")[1]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["plan"], "missing argument 'SUITE'", "see `prunebench plan --help`"),
        (["list", "--jsn"], "no option is named --jsn", "did you mean '--json'? (see `prunebench list --help`)"),
        (["new", "scorr", "x"], "'scorr' is not one of", "see `prunebench new --help`"),
        (["run", "tiny", "--jobs", "0"], "invalid value for '--jobs'", "see `prunebench run --help`"),
        (
            ["run", "tiny", "--jobs", "9" * 20],
            "is not a whole number from 1 to 1,000,000",
            "see `prunebench run --help`",
        ),
        (["run", "tiny", "--slots-per-device", "9" * 20], "is not understood", "write auto, or a number from 1 to"),
        (["run", "tiny", "--timeout", "nan"], "'nan' is not a number of seconds", "see `prunebench run --help`"),
        (["registry"], "missing command", "see `prunebench registry --help`"),
        (["registry", "ad"], "no command is named 'ad'", "did you mean 'add'?"),
        (["list", "randm"], "'randm'", "did you mean 'random'?"),
    ],
)
def test_a_usage_error_says_what_is_wrong_and_what_to_do(arguments, message, hint, shell):
    sandbox, _ = shell
    text = failure(sandbox.call(*arguments), 2)
    assert message in text
    assert hint in text
    assert "Usage:" not in text


NARROW = 40
UNBREAKABLE = 34  # a word of more letters, such as a path, may be longer than what is left of a line


def on_a_terminal(sandbox, *arguments: str) -> str:
    """Run the command line on a terminal of 40 columns and return what it shows."""
    leader, follower = pty.openpty()
    environment = {**sandbox.environment, "COLUMNS": str(NARROW)}
    command = [sys.executable, "-m", "prunebench", *arguments]
    process = subprocess.Popen(command, cwd=sandbox.folder, env=environment, stdout=follower, stderr=follower)
    os.close(follower)
    output = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    process.wait()
    os.close(leader)
    return output.decode()


def fits(text: str) -> bool:
    """Tell whether lines fit a narrow terminal, unless a word does not, or it is a command to copy; colours take no
    room."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")  # a bar is drawn again and again
    lines = [line for line in text.splitlines() if len(line) > NARROW]
    for line in lines:
        assert len(max(line.split(), key=len)) > UNBREAKABLE or len(line.split()) == 1 or "uv run " in line, line
    return bool(text.strip())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "topocore"], ["run", "tiny", "--jobs", "none"]], ids=" ".join
)
def test_a_narrow_terminal_gets_lines_that_fit(arguments, shell):
    sandbox, _ = shell
    assert fits(on_a_terminal(sandbox, *arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        *([verb, "--help"] for verb in VERBS), ["list"], ["list", "ccs-aum"], ["list", "quickstart"], ["plan", "tiny"],
        ["plan", "none"], ["doctor"], ["status"], ["leaderboard"], ["registry", "check"], ["new", "scorer", "my-own"],
        ["check", "--list", "selector"], ["check", "top"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_verb_writes_lines_that_fit(arguments, shell):
    sandbox, _ = shell
    done = sandbox.call(*arguments, columns=NARROW)
    assert fits(done.stdout + done.stderr)


def test_a_run_writes_lines_that_fit(shell):
    sandbox, _ = shell
    for arguments in (["run", "tiny", "--executor", "serial"], ["status"], ["cache", "ls"]):
        done = sandbox.call(*arguments, columns=NARROW)
        assert done.returncode == 0
        assert fits(done.stdout + done.stderr)


def test_a_reader_that_leaves_early_does_not_cause_a_traceback(shell):
    sandbox, _ = shell
    process = sandbox.start("list", "--json")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "time left not known yet"), (0.2, "about 1 s left"), (90, "about 90 s left"), (1000, "about 17 min left"),
     (9000, "about 2 h left")],
)  # fmt: skip
def test_a_time_left_is_a_guess_and_says_so(seconds, words):
    assert time_left(seconds) == words


def test_everything_that_is_known_of_a_name_is_listed(shell):
    sandbox, _ = shell
    text = " ".join(sandbox.call("list", "odd").stdout.split())
    assert "method odd moderate (centre = mean)" in text
    d2 = " ".join(sandbox.call("list", "d2").stdout.split())
    for fact in ("reads dynamics, features, labels", "selector class_top", "time grows as n^2", "mis_ratio = 0.0",
                 "where paper and code differ:"):  # fmt: skip
        assert fact in d2
    (row,) = json.loads(sandbox.call("list", "scorer:random", "--json").stdout)
    assert (row["kind"], row["name"], row["facts"]["random"]) == ("scorer", "random", "yes")
    methods = [row["name"] for row in json.loads(sandbox.call("list", "methods", "--json").stdout)["methods"]]
    assert {"odd", "random"} <= set(methods)
    assert methods == sorted(methods)
    assert [line.split()[0] for line in sandbox.call("list", "executors").stdout.splitlines()[1:5]] == [
        "local",
        "ray",
        "serial",
        "slurm",
    ]
