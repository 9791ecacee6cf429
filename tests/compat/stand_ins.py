"""Small data under the addresses that samples fetch: made on the spot, of what is at hand."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

_MNIST = (
    "https://azureopendatastorage.blob.core.windows.net/mnist",
    "http://yann.lecun.com/exdb/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
_THINGS = "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
_TENSORFLOW = "https://raw.githubusercontent.com/tensorflow/tensorflow/r2.1"
_SUMMARIES = '''\
"""A few steps of a small model, with event files: what TensorFlow's own example did."""
import argparse

import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--log_dir", default="logs")
parser.add_argument("--max_steps", type=int, default=20)
arguments, _ = parser.parse_known_args()
writer = tf.summary.create_file_writer(arguments.log_dir)
weight = tf.Variable(0.0)
with writer.as_default():
    for step in range(arguments.max_steps):
        weight.assign_add((1.0 - weight) / 4)
        tf.summary.scalar("accuracy", weight, step=step)
writer.close()
print("accuracy", float(weight))
'''


def make(names: Iterable[str], folder: Path) -> Path:
    """Make what is named; returns the JSON file of address → path that ``AML_MIRRORS`` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    mirrors: dict[str, str] = {}
    for name in names:
        place = folder / name
        place.mkdir(exist_ok=True)
        mirrors.update({url: str(path) for url, path in _MAKERS[name](place).items()})
    listed = folder / "mirrors.json"
    listed.write_text(json.dumps(mirrors, indent=1))
    return listed


def _mnist(folder: Path) -> Mapping[str, Path]:
    """Handwritten digits of scikit-learn, as large as MNIST's and in its files."""
    images, labels = _digits()
    for prefix, part in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        pixels, classes = images[part], labels[part]
        head = struct.pack(">IIII", 0x803, len(pixels), 28, 28)
        _zipped(folder / f"{prefix}-images-idx3-ubyte.gz", head + pixels.tobytes())
        head = struct.pack(">II", 0x801, len(classes))
        _zipped(folder / f"{prefix}-labels-idx1-ubyte.gz", head + classes.tobytes())
    return dict.fromkeys(_MNIST, folder)


def _large_mnist(folder: Path) -> Mapping[str, Path]:
    """As many digits as MNIST has, each of them many times."""
    import numpy as np

    images, labels = _digits()
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        chosen = np.arange(count) % len(images)
        head = struct.pack(">IIII", 0x803, count, 28, 28)
        _zipped(folder / f"{prefix}-images-idx3-ubyte.gz", head + images[chosen].tobytes())
        head = struct.pack(">II", 0x801, count)
        _zipped(folder / f"{prefix}-labels-idx1-ubyte.gz", head + labels[chosen].tobytes())
    return dict.fromkeys(_MNIST, folder)


def _zipped(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, compresslevel=1))


def _digits():  # type: ignore[no-untyped-def]
    import numpy as np
    from sklearn.datasets import load_digits

    small = load_digits()
    images = np.zeros((len(small.images), 28, 28), np.uint8)
    images[:, 2:26, 2:26] = np.kron(small.images * 15.9, np.ones((1, 3, 3))).astype(np.uint8)
    return images, small.target.astype(np.uint8)


def _keras_mnist(folder: Path) -> Mapping[str, Path]:
    import numpy as np

    images, labels = _digits()
    path = folder / "mnist.npz"
    halves = {"x_train": images[:1500], "y_train": labels[:1500]}
    np.savez(path, **halves, x_test=images[1500:], y_test=labels[1500:])
    return {"https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz": path}


def _iris(folder: Path) -> Mapping[str, Path]:
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    table = iris.data.set_axis(columns, axis=1)
    table["species"] = [iris.target_names[each] for each in iris.target]
    path = folder / "iris.csv"
    table.to_csv(path, index=False)
    return {"https://azuremlexamples.blob.core.windows.net/datasets/iris.csv": path}


def _cifar(folder: Path) -> Mapping[str, Path]:
    import numpy as np

    made = np.random.default_rng(0)
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
            pixels = made.integers(0, 256, (40, 3072), np.uint8)
            batch = {"data": pixels, "labels": [number % 10 for number in range(40)]}
            _add(archive, name, {**batch, "batch_label": name, "filenames": ["x.png"] * 40})
        _add(archive, "batches.meta", {"label_names": _THINGS, "num_vis": 3072})
    return {"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz": path}


def _add(archive: tarfile.TarFile, name: str, content: object) -> None:
    data = pickle.dumps(content)
    facts = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
    facts.size = len(data)
    archive.addfile(facts, io.BytesIO(data))


def _summaries(folder: Path) -> Mapping[str, Path]:
    examples = folder / "tensorflow" / "examples" / "tutorials" / "mnist"
    examples.mkdir(parents=True)
    (examples / "mnist_with_summaries.py").write_text(_SUMMARIES)
    (examples / "input_data.py").write_text('"""Nothing is read."""\n')
    return {f"{_TENSORFLOW}/tensorflow": folder / "tensorflow"}


def _greeting(folder: Path) -> Mapping[str, Path]:
    path = folder / "greeting.txt"
    path.write_text("good morning\n")
    return {"https://samples.invalid/greeting.txt": path}


_MAKERS: Mapping[str, Callable[[Path], Mapping[str, Path]]] = {
    "mnist": _mnist,
    "large-mnist": _large_mnist,
    "keras-mnist": _keras_mnist,
    "iris": _iris,
    "cifar": _cifar,
    "summaries": _summaries,
    "greeting": _greeting,
}
