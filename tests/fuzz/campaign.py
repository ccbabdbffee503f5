"""Runs cases against one node or two, and judges the answers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fuzz import rpc
from tests.fuzz.mutation import Case, Cases
from tests.fuzz.wire import Connection, Got, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.plane import Plane

__all__ = ["Outcome", "run"]

_POLICY = frozenset({429, 503, 504})
_CHANGING = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\"(?:last_inference|inference_count|count|ns|execution_count)\":\d+"
)
_COMPARED = (b"content-type", b"kilter-error-code", b"allow", b"connection", b"vary", b"kilter-model-version")
_MLFLOW = frozenset({"error_code", "message"})
_FORMS = {"v2": {"error"}, "ping": _MLFLOW, "health": _MLFLOW, "version": _MLFLOW, "invocations": _MLFLOW}
_OWN = {"error", "code", "field", "hint"}
_WARM_SHARE = 0.2
_RPC_SHARE = 10
_CHANNELS = 4
_MAX_SHOWN = 4
_KIND = 60


@dataclass
class Outcome:
    """What a campaign found."""

    seed: int
    requests: int = 0
    cases: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    memory_growth_bytes: list[int] = field(default_factory=list)
    descriptor_growth: list[int] = field(default_factory=list)

    def fault(self, what: str, case: Case) -> None:
        """Count a fault; of each kind a few are kept whole."""
        kind = what[:_KIND]
        self.kinds[kind] += 1
        if self.kinds[kind] <= _MAX_SHOWN:
            self.faults.append(f"{what} | {case}")

    def summary(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "seed": self.seed,
            "requests": self.requests,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "statuses": dict(sorted(self.statuses.items())),
            "compared": self.compared,
            "faults": self.kinds.total(),
            "memory_growth_bytes": self.memory_growth_bytes,
            "descriptor_growth": self.descriptor_growth,
        }


async def run(planes: Sequence[Plane], *, seed: int, cases: Sequence[int], connections: int) -> Outcome:
    """Send cases to one node, or to two that must answer alike.

    Parameters
    ----------
    planes : sequence of Plane
        One or two that run.
    seed : int
        Makes the cases.
    cases : sequence of int
        Their numbers.
    connections : int
        How many send at once.
    """
    outcome, made = Outcome(seed), Cases(seed)
    begun = time.perf_counter()
    warm = int(len(cases) * _WARM_SHARE)
    await _share(planes, made, cases[:warm], connections, outcome)
    for plane in planes:
        await rpc.send(plane.grpc_port, seed=seed, calls=warm // _RPC_SHARE, connections=_CHANNELS, statuses=Counter())
    before = [await _footprint(plane) for plane in planes]
    await _share(planes, made, cases[warm:], connections, outcome)
    for plane in planes:
        calls = len(cases) // _RPC_SHARE
        found = await rpc.send(
            plane.grpc_port, seed=seed, calls=calls, connections=_CHANNELS, statuses=outcome.statuses
        )
        outcome.requests += calls
        outcome.kinds.update(fault[:_KIND] for fault in found)
        outcome.faults += found[:_MAX_SHOWN]
    outcome.seconds = time.perf_counter() - begun
    if len(planes) > 1 and (shares := [await _fast_path(plane) for plane in planes]) != [b"1", b"0"]:
        outcome.kinds["not two paths"] += 1
        outcome.faults.append(f"the nodes say of the fast path: {shares}")
    for plane, (pid, memory, descriptors) in zip(planes, before, strict=True):
        await _still_well(plane, pid, outcome)
        _, memory_now, descriptors_now = await _footprint(plane)
        outcome.memory_growth_bytes.append(memory_now - memory)
        outcome.descriptor_growth.append(descriptors_now - descriptors)
    return outcome


async def _share(
    planes: Sequence[Plane], made: Cases, cases: Sequence[int], connections: int, outcome: Outcome
) -> None:
    """Let several clients take cases one after the other."""
    numbers = iter(cases)

    async def client() -> None:
        lines = [Connection(plane.port) for plane in planes]
        for number in numbers:
            case = made.case(number)
            answers = await asyncio.gather(*(_play(line, case, outcome) for line in lines))
            outcome.cases += 1
            if len(answers) == 2 and case.asked:
                _compare(case, answers[0], answers[1], outcome)
        await asyncio.gather(*(line.close() for line in lines))

    await asyncio.gather(*(client() for _ in range(connections)))


async def _play(line: Connection, case: Case, outcome: Outcome) -> list[Got]:
    """Send one case and read its answers."""
    answers: list[Got] = []
    try:
        await line.send(case.packets)
        if not case.asked:
            _judge_raw(await line.rest(), case, outcome)
            await line.close()
            return answers
        for method, path in case.asked:
            got = await line.receive(is_head=method == b"HEAD")
            answers.append(got)
            _judge(got, method, path, case, outcome)
            if got.is_last:
                await line.close()
                break
    except NoAnswerError as error:
        outcome.fault(f"no answer {len(answers) + 1} of {len(case.asked)}: {error}", case)
        await line.close()
    return answers


def _judge(got: Got, method: bytes, path: str, case: Case, outcome: Outcome) -> None:
    """Look at one answer."""
    outcome.requests += 1
    outcome.statuses[str(got.status)] += 1
    if got.status >= 500 and got.status not in _POLICY:
        outcome.fault(f"{got.status} {got.body[:200]!r}", case)
    if not case.is_plain or method == b"HEAD" or got.status < 400:
        return
    if path in {"/ping", "/health"} and got.status == 404:
        return
    try:
        told = json.loads(got.plain)
    except ValueError:
        outcome.fault(f"{got.status} whose body is no JSON: {got.body[:200]!r}", case)
        return
    due = _FORMS.get(path.partition("#")[0].split("/")[1], _OWN)
    if not isinstance(told, dict) or set(told) not in (due, {"name", "ready"}, {"ready"}):
        outcome.fault(f"{got.status} not in the form of {path[:60]}: {got.body[:200]!r}", case)


def _judge_raw(data: bytes, case: Case, outcome: Outcome) -> None:
    """Look at whatever came for bytes that need not be HTTP."""
    outcome.requests += 1
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]
    outcome.statuses.update(f"raw {status}" for status in statuses)
    outcome.statuses.update([] if statuses else ["raw closed"])
    if any(status >= 500 and status not in _POLICY for status in statuses):
        outcome.fault(f"raw {statuses}: {data[-300:]!r}", case)


def _compare(case: Case, one: list[Got], two: list[Got], outcome: Outcome) -> None:
    """Hold the answers of two nodes side by side, less what differs by nature."""
    if any(got.status in _POLICY for got in (*one, *two)):
        return
    outcome.compared += 1
    if [_essence(got, path) for got, (_, path) in zip(one, case.asked, strict=False)] != [
        _essence(got, path) for got, (_, path) in zip(two, case.asked, strict=False)
    ] or len(one) != len(two):
        shown = [[(got.status, got.headers, got.plain[:200]) for got in answers] for answers in (one, two)]
        outcome.fault(f"answers differ: {shown}", case)


def _essence(got: Got, path: str) -> tuple[object, ...]:
    """Return what must be the same on both nodes."""
    body = b"" if path.startswith("/metrics") else _CHANGING.sub(b"*", got.plain)
    return (got.status, body, frozenset(got.headers), *(got.headers.get(name) for name in _COMPARED))


async def _fast_path(plane: Plane) -> bytes:
    """Return what a node says of its fast path: 1 if it has one."""
    line = Connection(plane.port)
    await line.send((b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n",))
    told = re.search(rb"^kilter_fast_path(?:{[^}]*})? (\d)", (await line.receive()).plain, re.MULTILINE)
    await line.close()
    return told[1] if told is not None else b"?"


async def _footprint(plane: Plane) -> tuple[int, int, int]:
    """Return process, memory and open files of a node, once closed connections are gone."""
    await asyncio.sleep(0.5)
    return plane.worker, plane.resident_bytes(), plane.descriptors()


async def _still_well(plane: Plane, pid: int, outcome: Outcome) -> None:
    """Look whether the node is the same process as before and answers."""
    case = outcome_case = Cases(outcome.seed).case(0)
    line = Connection(plane.port)
    try:
        await line.send((b"GET /v2/health/ready HTTP/1.1\r\nhost: a\r\n\r\n",))
        ready = await line.receive()
        await line.send(case.packets)
        answer = await line.receive()
        if (ready.status, answer.status) != (200, 200):
            outcome.fault(f"afterwards: ready {ready.status}, a good request {answer.status}", outcome_case)
    except NoAnswerError as error:
        outcome.fault(f"afterwards: {error}", outcome_case)
    finally:
        with suppress(OSError):
            await line.close()
    if plane.worker != pid:
        outcome.fault("the serving process fell and was started again", outcome_case)
    if complaints := plane.complaints():
        outcome.fault(f"the log has: {complaints}", outcome_case)
