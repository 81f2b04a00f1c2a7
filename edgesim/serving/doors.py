"""The doors through which SimPy processes use the system: transfers, requests to replicas, works on their devices."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena import rows
from edgesim.errors import SimulationError
from edgesim.serving.works import Work, Works
from edgesim.units import seconds, watts

if TYPE_CHECKING:
    import simpy

    from edgesim.simulation import Simulation

MOST_BYTES = 2**53
"""Largest transfer [B]: floats, in which flows are counted, hold it exactly."""

MOST_TOKENS = 2**31 - 1
"""Longest prompt or reply that is asked for, as in scenarios [tokens]."""

MOST_SPEED = 1000
"""Largest multiple of its nominal speed at which a replica runs."""

MOST_PRIORITY = 2**53
"""Least urgent priority of a transfer, as in scenarios; the most urgent is as far below zero."""


class Doors:
    """What SimPy processes wait for, and who waits."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._waiting: dict[int, simpy.Event] = {}
        self._tickets = 0
        engine = simulation.engine
        engine.arrived = self._arrived
        if hasattr(engine, "next_event"):
            engine.next_event = simulation.clock.peek
        simulation.front.on_end.append(self._ended)
        self._hand_work = len(simulation.fleet.system.workloads) - 1
        names = simulation.fleet.names
        self._replicas = {name: i for i, name in enumerate(names)}
        self._links: dict[str, int] = {}
        self.works = Works(simulation.clock, simulation.speeds.give, len(names))
        simulation.speeds.device = self.works.set_speed

    def replica(self, name: int | str) -> int:
        """Index of a replica."""
        if not isinstance(name, str):
            return _index("replica", name, len(self._replicas))
        return _look_up("replica", name, self._replicas)

    def link(self, name: int | str) -> int:
        """Number of a link."""
        if not isinstance(name, str):
            return _index("link", name, self._simulation.topology.link_count)
        if not self._links:
            topology = self._simulation.topology
            self._links = {topology.link_name(i): i for i in range(topology.link_count)}
        return _look_up("link", name, self._links)

    def _ticket(self) -> tuple[int, simpy.Event]:
        self._tickets += 1
        event = self._waiting[self._tickets] = self._simulation.clock.event()
        return self._tickets, event

    def transfer(self, link: int | str, nbytes: int, priority: int = 0) -> simpy.Event:
        """Send bytes over a link."""
        nbytes = _whole("a transfer", nbytes, "bytes", MOST_BYTES)
        priority = _priority(priority)
        number = self.link(link)
        ticket, event = self._ticket()
        latency = int(self._simulation.topology.latency_ps[number])
        self._simulation.engine.transfer(ticket, number, latency, nbytes, priority)
        return event

    def generate(self, replica: int | str, prompt_tokens: int, output_tokens: int) -> simpy.Event:
        """Ask a replica on its own node."""
        prompt_tokens = _whole("a request", prompt_tokens, "prompt tokens", MOST_TOKENS)
        output_tokens = _whole("a request", output_tokens, "output tokens", MOST_TOKENS)
        simulation = self._simulation
        index = self.replica(replica)
        ticket, event = self._ticket()
        home = simulation.fleet.nodes[index]
        system = simulation.fleet.system
        offset, length = (int(x) for x in system.places[home * system.classes])
        places = system.candidates["replica"][offset : offset + length].tolist()
        simulation.front.tickets[ticket] = places.index(index)
        row = np.zeros(1, rows.ARRIVAL)[0]
        row["at"], row["origin"], row["workload"], row["session"] = (
            simulation.clock.now,
            home,
            self._hand_work,
            ticket,
        )
        row["prompt"], row["output"], row["predicted"] = prompt_tokens, output_tokens, output_tokens
        simulation.engine.submit(row)
        return event

    def use(
        self, place: int | str, work: float | str, weight: float, power: float | str | None
    ) -> simpy.Event:
        """Run a work on the device of a replica."""
        index, simulation = self._device(place), self._simulation
        work_s = _amount("work", seconds(work) if isinstance(work, str) else work, "s")
        weight = _amount("weight", weight, "")
        system = simulation.fleet.system
        if system.replicas["accelerator"][index] != rows.ALONE:
            raise SimulationError(
                f"{simulation.fleet.names[index]!r} takes turns on its device with another; works need one of their own"
            )
        cost = system.costs[int(system.replicas["cost"][index])]
        idle = cost.idle_mw / 1000
        drawn = (cost.cap_mw or cost.base_mw) / 1000
        if power is not None:
            drawn = _amount("power", watts(power) if isinstance(power, str) else power, "W")
        if drawn < idle:
            raise SimulationError(f"a work that draws {drawn:g} W on a device whose idle power is {idle:g} W")
        name = simulation.fleet.names[index]
        return self.works.start(index, Work(name, work_s, weight, drawn - idle, simulation.now))

    def _device(self, place: int | str) -> int:
        """The replica whose device is meant, by its own name or that of its node."""
        fleet, node_name = self._simulation.fleet, self._simulation.topology.node_name
        if not isinstance(place, str) or place in self._replicas:
            return self.replica(place)
        there = [i for i, node in enumerate(fleet.nodes) if node_name(node) == place]
        if len(there) > 1:
            names = " or ".join(repr(fleet.names[i]) for i in there)
            raise SimulationError(f"node {place!r} has {len(there)} devices; name a replica: {names}")
        known = {**self._replicas, **{node_name(node): i for i, node in enumerate(fleet.nodes)}}
        return there[0] if there else _look_up("replica, and no node with one,", place, known)

    def _ended(self, record: Any) -> None:
        if int(record["workload"]) == self._hand_work:
            self._arrived(int(record["session"]), record.copy())

    def _arrived(self, ticket: int, value: Any = None) -> None:
        """Wake the process that waits, at the engine's present time."""
        clock = self._simulation.clock
        clock.advance_to(max(int(clock.now), self._simulation.engine.now))
        self._waiting.pop(ticket).succeed(value)


def speed_of(value: float) -> int:
    """Thousandths of the nominal speed, from what a person gives as a multiple of it."""
    number = not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)
    if not number or not 1 / rows.FULL_SPEED <= value <= MOST_SPEED:
        low = 1 / rows.FULL_SPEED
        raise SimulationError(
            f"a speed of {value!r}; it is a multiple of the nominal one, from {low:g} to {MOST_SPEED:,}"
        )
    return round(value * rows.FULL_SPEED)


def picoseconds(value: float | str) -> int:
    """A time in whole picoseconds, from seconds or a quantity such as "500 ms"."""
    given = seconds(value) if isinstance(value, str) else value
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        raise SimulationError(f"{value!r} is no time; give seconds, or a quantity such as '500 ms'")
    if not math.isfinite(given):
        raise SimulationError(
            f"a time of {value!r} never comes; give seconds, or a quantity such as '500 ms'"
        )
    return round(float(given) * rows.PS)


def _whole(what: str, value: int, unit: str, most: int) -> int:
    """A number of things, as a Python integer."""
    whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not whole or not 1 <= value <= most:
        raise SimulationError(f"{what} of {value!r} {unit}; it takes a whole number from 1 to {most:,}")
    return int(value)


def _priority(value: int) -> int:
    """The priority of a transfer, as a Python integer."""
    whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not whole or abs(value) > MOST_PRIORITY:
        raise SimulationError(
            f"a transfer of priority {value!r}; it is a whole number, and the smaller the more urgent"
        )
    return int(value)


def _index(kind: str, number: int, count: int) -> int:
    """The number of a replica or link that is there."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise SimulationError(f"{number!r} is no {kind}; give its name, or a number from 0 to {count - 1}")
    if not 0 <= number < count:
        raise SimulationError(f"no {kind} {number}; there are {count}, counted from 0")
    return int(number)


def _amount(what: str, value: float, unit: str) -> float:
    """A number above 0."""
    number = not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)
    if not number or not 0 < value < math.inf:
        raise SimulationError(f"a {what} of {value!r} {unit}".rstrip() + "; it is a number above 0")
    return float(value)


def _look_up(kind: str, name: str, known: dict[str, int]) -> int:
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SimulationError(f"no {kind} named {name!r}{hint}")
    return known[name]
