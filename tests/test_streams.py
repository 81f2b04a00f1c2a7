"""Random streams are independent by name, repeatable, and pure where the kernel needs them pure."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edgesim.streams import Streams, uniform


class TestGenerators:
    def test_same_name_same_draws(self) -> None:
        """A stream opened twice starts from the same place both times."""
        streams = Streams(seed=7)
        first = streams.generator("arrivals/chat").random(5)
        assert first.tolist() == streams.generator("arrivals/chat").random(5).tolist()

    def test_order_of_opening_does_not_matter(self) -> None:
        """Opening other streams in between changes nothing."""
        alone = Streams(1).generator("link/lte-3").random(3)
        streams = Streams(1)
        streams.generator("policy/router").random(100)
        streams.key("something")
        assert streams.generator("link/lte-3").random(3).tolist() == alone.tolist()

    @pytest.mark.parametrize(
        ("seed", "replication", "name"), [(2, 0, "a"), (1, 1, "a"), (1, 0, "b"), (1, 0, "a ")]
    )
    def test_seed_replication_and_name_all_count(self, seed: int, replication: int, name: str) -> None:
        """Changing any of the three gives another stream and another key."""
        base, other = Streams(1, 0), Streams(seed, replication)
        assert base.generator("a").random() != other.generator(name).random()
        assert base.key("a") != other.key(name)

    def test_draws_are_pinned(self) -> None:
        """The mapping from name to stream is part of the results' reproducibility, so it may not drift."""
        words = (
            int(w) for w in np.frombuffer(__import__("hashlib").blake2b(b"x", digest_size=16).digest(), "<u4")
        )
        seeds = np.random.SeedSequence(3, spawn_key=(2, *words))
        expected = np.random.Generator(np.random.PCG64(seeds)).random(4)
        assert expected.tolist() == Streams(3, 2).generator("x").random(4).tolist()

    def test_key_is_not_the_state_of_the_generator(self) -> None:
        """A key and the generator of the same name share no seed word."""
        streams = Streams(5)
        words = streams._seeds("x").generate_state(4, np.uint64)
        assert streams.key("x") not in [int(word) for word in words]

    def test_import_needs_no_numpy(self) -> None:
        """Policies import this module, and they start without numpy."""
        code = "import sys, edgesim.streams; sys.exit('numpy' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def splitmix(key: int, request: int, index: int) -> float:
    """Compute the same number with wrapping 64-bit arithmetic, as compiled code does."""
    with np.errstate(over="ignore"):
        z = (np.uint64(key) ^ (np.uint64(request) * np.uint64(0x9E3779B97F4A7C15))) + np.uint64(
            index
        ) * np.uint64(0xBF58476D1CE4E5B9)
        for _ in range(2):
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


class TestUniform:
    def test_equals_wrapping_arithmetic_bit_for_bit(self) -> None:
        """Python integers give the bits that 64-bit registers give."""
        for request, index in ((0, 0), (1, 0), (0, 1), (12345, 7), (2**40, 2**31)):
            key = Streams(9).key("policy/router")
            assert splitmix(key, request, index) == uniform(key, request, index)

    def test_is_uniform(self) -> None:
        """Mean, variance and neighbour correlation are those of independent uniforms."""
        key = Streams(1).key("u")
        draws = np.array([uniform(key, request, index) for request in range(200) for index in range(100)])
        assert draws.min() >= 0.0
        assert draws.max() < 1.0
        assert draws.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / draws.size))
        assert draws.var() == pytest.approx(1 / 12, rel=0.02)
        assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / np.sqrt(draws.size)
        assert abs(np.corrcoef(draws[:-100], draws[100:])[0, 1]) < 4 / np.sqrt(draws.size)
