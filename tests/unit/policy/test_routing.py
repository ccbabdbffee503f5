from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import pytest

from kilter.contracts.deployment import Deployment
from kilter.contracts.ids import Digest, RolloutId
from kilter.contracts.prediction import Arm
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.contracts.route import Route, RouteTable, RouteVariant
from kilter.contracts.spec import DataSpec, DeploymentSpec, ModelSpec, RolloutSpec, ServeSpec
from kilter.errors import Conflict, NotFound
from kilter.policy.routing import (
    assign,
    hash64,
    is_same,
    is_shadowed,
    rolled_back,
    route_of,
    with_route,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
V = {n: RouteVariant(version=n, digest=Digest(f"sha256:{n}")) for n in range(1, 5)}
CANARY = Route(
    deployment="d", champion=V[1], challenger=V[2], weight=500, salt="ro_1", rollout_id="ro_1", previous=V[3]
)


def arms(route: Route, n: int = 20_000) -> Counter[Arm]:
    return Counter(assign(route, f"key-{i}", NOW).arm for i in range(n))


def deployment(champion: int | None = 1, previous: int | None = 3, spec: DeploymentSpec | None = None) -> Deployment:
    return Deployment(
        id="d",
        spec=spec or DeploymentSpec(model=ModelSpec(name="d", source="m.onnx")),
        champion=champion,
        previous=previous,
        generation=1,
        created_at=NOW,
        updated_at=NOW,
    )


def rollout(state: RolloutState, weight: int = 500, next_state: str = "") -> Rollout:
    return Rollout(
        id=RolloutId("ro_1"),
        deployment="d",
        champion=1,
        candidate=2,
        spec=RolloutSpec(),
        state=state,
        step=0,
        weight=weight,
        salt="ro_1",
        started_at=NOW,
        step_started_at=NOW,
        evidence_until=NOW,
        next_state=next_state,
    )


def test_the_hash_is_keyed_blake2b_read_big_endian() -> None:
    digest = blake2b(b"user", digest_size=8, key=b"salt").digest()
    assert hash64("salt", "user") == int.from_bytes(digest, "big")


def test_a_long_salt_and_broken_text_still_hash() -> None:
    assert 0 <= hash64("s" * 500, "\udc80") < 2**64


def test_arms_have_their_declared_shares() -> None:
    seen = arms(replace(CANARY, weight=2_000))
    assert abs(seen[Arm.CHALLENGER] / 20_000 - 0.2) < 0.01
    assert abs(seen[Arm.CONTROL] / 20_000 - 0.2) < 0.01
    assert abs(seen[Arm.CHAMPION] / 20_000 - 0.6) < 0.01


def test_both_arms_only_grow_with_the_weight() -> None:
    keys = [f"key-{i}" for i in range(3_000)]
    before: dict[Arm, set[str]] = {Arm.CHALLENGER: set(), Arm.CONTROL: set()}
    for weight in (0, 1, 100, 500, 2_500, 5_000):
        route = replace(CANARY, weight=weight)
        for arm, old in before.items():
            now = {key for key in keys if assign(route, key, NOW).arm is arm}
            assert old <= now
            before[arm] = now


def test_at_full_weight_there_is_no_control_left() -> None:
    assert arms(replace(CANARY, weight=10_000), 500) == {Arm.CHALLENGER: 500}


def test_propensities_of_the_arms_add_up_to_one() -> None:
    shares = {a.arm: a.propensity for a in (assign(CANARY, f"key-{i}", NOW) for i in range(2_000))}
    assert set(shares) == {Arm.CHALLENGER, Arm.CONTROL, Arm.CHAMPION}
    assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("route", [replace(CANARY, challenger=None), replace(CANARY, weight=0)])
def test_without_a_challenger_the_champion_answers_all(route: Route) -> None:
    assert assign(route, "any", NOW) == (V[1], Arm.CHAMPION, 1.0, True)


def test_a_challenger_that_nobody_judges_gets_no_traffic() -> None:
    route = replace(CANARY, weight=5_000, judged_until=NOW)
    assert arms(route)[Arm.CHALLENGER] > 0
    late = [assign(route, f"key-{i}", NOW + timedelta(microseconds=1)) for i in range(200)]
    assert {(a.variant, a.arm, a.is_judged) for a in late} == {(V[1], Arm.CHAMPION, False)}


def test_shadow_sampling_is_independent_of_the_arms() -> None:
    route = replace(CANARY, weight=5_000, shadow=V[4], shadow_rate=1_000)
    keys = [f"key-{i}" for i in range(20_000)]
    shadowed = [key for key in keys if is_shadowed(route, key)]
    assert abs(len(shadowed) / 20_000 - 0.1) < 0.01
    challengers = sum(assign(route, key, NOW).arm is Arm.CHALLENGER for key in shadowed)
    assert abs(challengers / len(shadowed) - 0.5) < 0.05
    assert not is_shadowed(replace(route, shadow_rate=0), "key")
    assert not is_shadowed(replace(route, shadow=None), "key")


def test_rollback_takes_all_traffic_from_the_candidate() -> None:
    table = rolled_back(RouteTable(generation=7, written_at=NOW, routes=(CANARY,)), "d", NOW, "bad")
    route = table.route("d")
    assert route is not None
    assert (table.generation, table.origin, table.reason) == (8, "rollback", "bad")
    assert (route.champion, route.challenger, route.weight, route.previous) == (V[1], None, 0, V[3])


def test_rollback_without_a_candidate_returns_to_the_previous_champion() -> None:
    other = Route(deployment="other", champion=V[4])
    plain = replace(CANARY, challenger=None, weight=0)
    table = rolled_back(RouteTable(generation=7, written_at=NOW, routes=(other, plain)), "d", NOW, "bad")
    route = table.route("d")
    assert route is not None
    assert (route.champion, route.previous) == (V[3], None)
    assert table.route("other") == other


def test_rollback_of_a_shadow_drops_the_shadow() -> None:
    shadowed = Route(deployment="d", champion=V[1], shadow=V[2], shadow_rate=10)
    route = rolled_back(RouteTable(generation=1, written_at=NOW, routes=(shadowed,)), "d", NOW, "").route("d")
    assert route is not None
    assert route.shadow is None


def test_rollback_with_nothing_to_go_back_to_is_refused() -> None:
    table = RouteTable(generation=1, written_at=NOW, routes=(Route(deployment="d", champion=V[1]),))
    with pytest.raises(Conflict, match="nothing to roll back to"):
        rolled_back(table, "d", NOW, "")
    with pytest.raises(NotFound, match="`e`"):
        rolled_back(table, "e", NOW, "")


@pytest.mark.parametrize("state", [RolloutState.PLANNED, RolloutState.ROLLING_BACK, RolloutState.DONE])
def test_a_rollout_that_is_not_on_trial_changes_nothing(state: RolloutState) -> None:
    assert route_of(deployment(), rollout(state), V, judged_until=NOW) == route_of(
        deployment(), None, V, judged_until=NOW
    )


def test_a_deployment_without_champion_has_no_route() -> None:
    assert route_of(deployment(champion=None), None, V, judged_until=NOW) is None


def test_a_plain_route_carries_champion_and_previous() -> None:
    route = route_of(deployment(previous=None), None, V, judged_until=NOW)
    assert route is not None
    assert (route.champion, route.previous, route.challenger) == (V[1], None, None)


def test_warming_loads_the_candidate_without_traffic() -> None:
    route = route_of(deployment(), rollout(RolloutState.WARMING, weight=0), V, judged_until=NOW)
    assert route is not None
    assert (route.challenger, route.weight, route.judged_until) == (V[2], 0, None)


def test_a_canary_has_its_weight_for_as_long_as_it_is_judged() -> None:
    spec = DeploymentSpec(model=ModelSpec(name="d", source="m"), data=DataSpec(id="customer", pii=("email",)))
    route = route_of(deployment(spec=spec), rollout(RolloutState.CANARY), V, judged_until=NOW)
    assert route is not None
    assert (route.challenger, route.weight, route.judged_until) == (V[2], 500, NOW)
    assert (route.key, route.salt, route.rollout_id, route.redact) == ("customer", "ro_1", "ro_1", ("email",))


@pytest.mark.parametrize(("state", "next_state"), [(RolloutState.SHADOW, ""), (RolloutState.HELD, "shadow")])
def test_a_shadow_answers_a_sample_without_serving(state: RolloutState, next_state: str) -> None:
    route = route_of(deployment(), rollout(state, weight=0, next_state=next_state), V, judged_until=NOW)
    assert route is not None
    assert (route.challenger, route.shadow, route.shadow_rate) == (None, V[2], 1_000)


def test_a_held_canary_keeps_its_weight() -> None:
    route = route_of(deployment(), rollout(RolloutState.HELD, next_state="canary"), V, judged_until=NOW)
    assert route is not None
    assert route.weight == 500


def test_promoting_swaps_champion_and_keeps_the_old_one_loaded() -> None:
    route = route_of(deployment(), rollout(RolloutState.PROMOTING), V, judged_until=NOW)
    assert route is not None
    assert (route.champion, route.previous, route.challenger) == (V[2], V[1], None)


def test_the_first_table_has_generation_one() -> None:
    table = with_route(None, CANARY, NOW, reason="first")
    assert (table.generation, table.origin, table.routes) == (1, "reconciler", (CANARY,))


def test_how_long_a_route_is_judged_does_not_make_it_another() -> None:
    assert is_same(replace(CANARY, judged_until=NOW), CANARY)
    assert not is_same(replace(CANARY, weight=1), CANARY)
    assert not is_same(None, CANARY)


def test_the_route_carries_the_rows_that_a_request_may_have() -> None:
    wanted = replace(deployment().spec, deployment=ServeSpec(max_batch_rows=12))
    route = route_of(deployment(spec=wanted), None, V, judged_until=NOW)
    assert route is not None
    assert route.max_rows == 12


def test_the_hint_of_a_refused_rollback_names_a_command_that_exists() -> None:
    table = RouteTable(generation=1, written_at=NOW, routes=(Route(deployment="d", champion=V[1]),))
    with pytest.raises(Conflict) as caught:
        rolled_back(table, "d", NOW, "")
    assert caught.value.hint == "see what is live with `kilter status d`"
