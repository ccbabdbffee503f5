"""Triton and its Python backend: ``prepare FOLDER`` or ``serve FOLDER PORT``, in an environment of its own.

The wheel brings the server and its backend; the model repository is ours. It needs the system's own
CPython 3.11 with its shared library (Debian: python3.11-venv, libpython3.11).
"""

# ruff: noqa: INP001 - a script of another environment

import os
import shutil
import sys
import sysconfig
from pathlib import Path

_NAME = "cancer"
_CONFIG = """name: "cancer"
backend: "python"
max_batch_size: 0
input [{ name: "input", data_type: TYPE_FP64, dims: [-1, 30] }]
output [{ name: "probabilities", data_type: TYPE_FP64, dims: [-1, 2] }]
instance_group [{ kind: KIND_CPU, count: 1 }]
"""
_MODEL = """
import joblib
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self._model = joblib.load(args["model_repository"] + "/1/model.joblib")

    def execute(self, requests):
        answers = []
        for one in requests:
            rows = pb.get_input_tensor_by_name(one, "input").as_numpy()
            answers.append(pb.InferenceResponse([pb.Tensor("probabilities", self._model.predict_proba(rows))]))
        return answers
"""


def prepare(folder: Path) -> None:
    """Train, and write a model repository."""
    import joblib  # noqa: PLC0415 - only here
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    version = folder / "repository" / _NAME / "1"
    version.mkdir(parents=True)
    data = load_breast_cancer()
    joblib.dump(HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target), version / "model.joblib")
    (version / "model.py").write_text(_MODEL)
    (version.parent / "config.pbtxt").write_text(_CONFIG)


def serve(folder: Path, port: int) -> None:
    """Become ``tritonserver``; the backend wants the starter of this Python beside it, so it runs from a copy."""
    packages = Path(sysconfig.get_paths()["purelib"])
    wheel, copy = packages / "pytriton" / "tritonserver", folder / "tritonserver"
    if not copy.exists():
        shutil.copytree(wheel, copy, ignore=shutil.ignore_patterns("python_backend_stubs"))
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        starter = "triton_python_backend_stub"
        shutil.copy(wheel / "python_backend_stubs" / python / starter, copy / "backends" / "python" / starter)
    libraries = [str(packages / "nvidia_pytriton.libs"), os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ |= {
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PYTHONPATH": str(packages),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    argv = [str(copy / "bin" / "tritonserver"), "--model-repository", str(folder / "repository")]
    argv += ["--backend-directory", str(copy / "backends"), "--cache-directory", str(copy / "caches")]
    for kind, number in (("http", port), ("grpc", port + 1), ("metrics", port + 2)):
        argv += [f"--{kind}-address", "127.0.0.1", f"--{kind}-port", str(number)]
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
