"""Follows the control plane over its REST API, as an on-call engineer's script would."""

from __future__ import annotations

import json
import time
from datetime import datetime
from http.client import HTTPConnection, HTTPException

from kilter.errors import DeadlineExceeded, NotReady

__all__ = ["Watch"]

_PATIENCE_S = 60.0
_POLL_S = 0.03


class Watch:
    """A small client of one deployment's status."""

    def __init__(self, *, port: int, model: str) -> None:
        self._model = model
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str) -> dict[str, object]:
        """Return what a path answers.

        Raises
        ------
        NotReady
            If the control plane does not answer.
        """
        for attempt in (1, 2):
            try:
                self._connection.request("GET", path)
                answer = json.loads(self._connection.getresponse().read())
            except (OSError, HTTPException, ValueError) as error:
                self._connection.close()
                if attempt == 2:
                    msg = f"the control plane does not answer {path}"
                    raise NotReady(msg, why=str(error)) from error
            else:
                return dict(answer)
        raise AssertionError

    def is_up(self) -> bool:
        """Say whether the control plane answers."""
        try:
            return bool(self.get("/v1/health"))
        except NotReady:
            return False

    def status(self) -> dict[str, object]:
        """Return the status of the deployment."""
        return self.get(f"/v1/deployments/{self._model}/status")

    def wait(self, until: datetime) -> dict[str, object]:
        """Wait until the control loop has dealt with everything up to a time, repairs included.

        Raises
        ------
        DeadlineExceeded
            If it has not after a minute of the machine's clock.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            looked = self.get(f"/v1/deployments/{self._model}").get("monitored_until")  # cheaper than the status
            if isinstance(looked, str) and datetime.fromisoformat(looked) >= until:
                status = self.status()
                if not status.get("is_busy"):
                    return status
            time.sleep(_POLL_S)
        msg = f"the control loop has not looked at everything up to {until:%Y-%m-%d} after {_PATIENCE_S:g} s"
        raise DeadlineExceeded(
            msg,
            why=f"it stands at {self.status().get('monitored_until')}",
            hint="see the logs in the home folder",
        )
