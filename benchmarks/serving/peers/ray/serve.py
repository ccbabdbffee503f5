"""Ray Serve: ``prepare FOLDER`` or ``serve FOLDER PORT``, in Ray's own environment."""

# ruff: noqa: INP001 - a script of another environment

import sys
import time
from pathlib import Path
from typing import Any

_CORES = 2


def prepare(folder: Path) -> None:
    """Train, and write the model."""
    import joblib  # noqa: PLC0415 - only here
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    data = load_breast_cancer()
    joblib.dump(HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target), folder / "model.joblib")


def serve(folder: Path, port: int) -> None:
    """Start Ray on this machine alone, and one replica behind its HTTP proxy."""
    import ray  # noqa: PLC0415 - heavy
    from ray import serve as ray_serve  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415

    @ray_serve.deployment(num_replicas=1, max_ongoing_requests=100)
    class Cancer:
        """The model."""

        def __init__(self) -> None:
            import joblib  # noqa: PLC0415 - in the replica

            self._model = joblib.load(folder / "model.joblib")  # noqa: TID251 - written by prepare

        async def __call__(self, request: Request) -> dict[str, Any]:
            """Answer rows."""
            import numpy as np  # noqa: PLC0415 - in the replica

            rows = np.asarray((await request.json())["rows"], dtype=np.float64)
            return {"probabilities": self._model.predict_proba(rows).tolist()}

    # Two replicas' worth of cores: the proxy and the controller ask for none, the replica for one.
    ray.init(num_cpus=_CORES, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    ray_serve.start(http_options={"host": "127.0.0.1", "port": port})
    ray_serve.run(Cancer.bind(), name="cancer", route_prefix="/cancer")
    while True:  # until a signal ends this process, and Ray with it
        time.sleep(3600)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    else:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
