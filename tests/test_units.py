"""Quantities: what is read, what is refused and how, and that written values come back to the bit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from edgesim import units
from edgesim.errors import UnitError

GOOD = [
    (units.seconds, "10 ms", 0.01),
    (units.seconds, "10ms", 0.01),
    (units.seconds, " 10   ms ", 0.01),
    (units.seconds, "10 us", 1e-5),
    (units.seconds, "10 µs", 1e-5),
    (units.seconds, "1e-05 s", 1e-5),
    (units.seconds, "1e3 ms", 1.0),
    (units.seconds, "0.5 seconds", 0.5),
    (units.seconds, "5 min", 300.0),
    (units.seconds, "1 h", 3600.0),
    (units.seconds, "1 d", 86400.0),
    (units.seconds, "2 days", 172800.0),
    (units.seconds, "-3 s", -3.0),
    (units.bytes_, "16 GiB", 17179869184),
    (units.bytes_, "3.3 GB", 3300000000),
    (units.bytes_, "1 KB", 1000),
    (units.bytes_, "8 Mbit", 1000000),
    (units.bytes_, "100 bytes", 100),
    (units.bytes_per_s, "1 Gbps", 1.25e8),
    (units.bytes_per_s, "1 Gbit/s", 1.25e8),
    (units.bytes_per_s, "1 Gb/s", 1.25e8),
    (units.bytes_per_s, "1 Kbps", 125.0),
    (units.bytes_per_s, "1 GiB/s", 1073741824.0),
    (units.bytes_per_s, "400 GB/s", 4e11),
    (units.per_s, "6/s", 6.0),
    (units.per_s, "6 / s", 6.0),
    (units.per_s, "6 1/s", 6.0),
    (units.per_s, "120/min", 2.0),
    (units.per_s, "120 rpm", 2.0),
    (units.per_s, "36/h", 0.01),
    (units.per_s, "36 per hour", 0.01),
    (units.per_s, "2 kHz", 2000.0),
    (units.per_s, "3 requests/s", 3.0),
    (units.watts, "1.5 kW", 1500.0),
    (units.watts, "15 mW", 0.015),
    (units.joules, "1 Wh", 3600.0),
    (units.joules_per_byte, "0.3 uJ/bit", 2.4e-6),
    (units.joules_per_byte, "2 nJ/B", 2e-9),
    (units.usd, "$0.01", 0.01),
    (units.usd_per_hour, "2.21 $/h", 2.21),
    (units.usd_per_hour, "$2.21/h", 2.21),
    (units.usd_per_hour, "2.21 USD/h", 2.21),
    (units.usd_per_kwh, "100 $/MWh", 0.1),
    (units.usd_per_byte, "0.09 $/GB", 9e-11),
    (units.grams_per_kwh, "400 gCO2/kWh", 400.0),
    (units.grams_per_kwh, "0.4 kg/kWh", 400.0),
    (units.grams_per_kwh, "400 kg/MWh", 400.0),
    (units.grams, "2 kg", 2000.0),
    (units.flop_per_s, "312 TFLOP/s", 3.12e14),
    (units.flop_per_s, "26 TOPS", 2.6e13),
    (units.percent, "90 %", 0.9),
    (units.percent, "90%", 0.9),
    (units.percent, 0.9, 0.9),
    (units.percent, 1, 1.0),
]

BAD = [
    (units.seconds, 10, "10 has no unit; write e.g. '10 ms'"),
    (units.seconds, "10", "'10' has no unit; write e.g. '10 ms'"),
    (units.seconds, "0", "'0' has no unit; write e.g. '10 ms'"),
    (units.seconds, "16 GiB", "'16 GiB' is not a time; write e.g. '10 ms'"),
    (units.seconds, "10 m", "'10 m' is not a time; write e.g. '10 ms'"),
    (units.seconds, "10 mss", "'10 mss' is not a time; write e.g. '10 ms'"),
    (units.seconds, "10 S", "'10 S' is not a time; write e.g. '10 ms'"),
    (units.seconds, "3 s s", "'3 s s' is not a time; write e.g. '10 ms'"),
    (units.seconds, "1,5 s", "'1,5 s' is not a time; write e.g. '10 ms'"),
    (units.seconds, "1_000 s", "'1_000 s' is not a time; write e.g. '10 ms'"),
    (units.seconds, "inf s", "'inf s' is not a time; write e.g. '10 ms'"),
    (units.seconds, "nan s", "'nan s' is not a time; write e.g. '10 ms'"),
    (units.seconds, "1e400 s", "'1e400 s' is too large; write e.g. '10 ms'"),
    (units.seconds, "soon", "'soon' is not a time; write e.g. '10 ms'"),
    (units.seconds, "", "'' is not a time; write e.g. '10 ms'"),
    (units.seconds, None, "a time is missing; write e.g. '10 ms'"),
    (units.seconds, True, "true is not a time; write e.g. '10 ms'"),
    (units.seconds, {"a": 1}, "a mapping is not a time; write e.g. '10 ms'"),
    (units.bytes_, "1 Gb", "'1 Gb' could mean bits or bytes; write '1 GB' for bytes"),
    (units.bytes_, "1e-3 B", "'1e-3 B' is less than a byte; write e.g. '16 GiB'"),
    (units.bytes_per_s, "5 GB", "'5 GB' is not a bandwidth; write e.g. '100 Mbps'"),
    (units.per_s, "6 s", "'6 s' is not a rate; write e.g. '6/s'"),
    (units.usd_per_hour, "$2.21", "'$2.21' is not a price per hour; write e.g. '2.21 $/h'"),
    (units.joules_per_byte, "5 J", "'5 J' is not an energy per amount of data; write e.g. '0.3 uJ/bit'"),
    (units.percent, 90, "90 has no unit; write e.g. '90 %', or a number from 0 to 1"),
    (units.percent, "90", "'90' is not a share; write e.g. '90 %'"),
]


@pytest.mark.parametrize(("read", "text", "value"), GOOD)
def test_good_quantities_are_read(read, text, value):
    """Quantities come out in SI, to the bit."""
    assert value == read(text)


@pytest.mark.parametrize(("read", "text", "sentence"), BAD)
def test_bad_quantities_are_refused_with_an_example(read, text, sentence):
    """A refusal says what is wrong and how to write it."""
    with pytest.raises(UnitError) as caught:
        read(text)
    assert [sentence] == [problem.text for problem in caught.value.problems]


@pytest.mark.parametrize("dimension", units._DIMENSIONS, ids=lambda dimension: dimension.unit)
@given(value=st.floats(min_value=1e-18, max_value=1e18))
def test_exact_text_comes_back_to_the_bit(dimension, value):
    """A resolved scenario reproduces the numbers it was made from."""
    unit = "/s" if dimension.unit == "per_s" else dimension.unit
    assert value == units.parse(units.exact(value, unit), dimension)


@given(value=st.floats(min_value=-1e6, max_value=1e6))
def test_exact_shares_come_back_to_the_bit(value):
    """Percentages are exact, too."""
    assert value == units.parse_share(units.exact_share(value))


class Model(BaseModel):
    latency: units.Seconds = 0.0
    rate: units.PositiveRate = 1.0
    size: units.Bytes = 0
    share: units.Share = 0.5


def test_annotated_types_read_and_write_with_units():
    """Pydantic models read text and dump text that they can read again."""
    model = Model.model_validate({"latency": "20 ms", "rate": "6/s", "size": "1 KiB", "share": "12.5 %"})
    assert (model.latency, model.rate, model.size, model.share) == (0.02, 6.0, 1024, 0.125)
    assert isinstance(model.size, int)
    dumped = model.model_dump()
    assert dumped == {"latency": "0.02 s", "rate": "6/s", "size": "1024 B", "share": "12.5 %"}
    assert model == Model.model_validate(dumped)


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("latency", "-1 ms", "'-1 ms' is negative, which a time cannot be"),
        ("rate", "-6/s", "'-6/s' is negative, which a rate cannot be"),
        ("rate", "0/s", "'0/s' is too small; a rate must be more than 0 here"),
        ("latency", 3, "3 has no unit; write e.g. '10 ms'"),
    ],
)
def test_annotated_types_refuse_what_makes_no_sense(field, text, sentence):
    """The error has our sentence, and once."""
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({field: text})
    assert [sentence] == [error["msg"] for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (units.format_seconds, 0, "0 s"),
        (units.format_seconds, 0.0123456, "12.3 ms"),
        (units.format_seconds, 0.9999, "1 s"),
        (units.format_seconds, 600, "10 min"),
        (units.format_seconds, 1e-13, "0.1 ps"),
        (units.format_seconds, -0.5, "-500 ms"),
        (units.format_bytes, 16.1e9, "16.1 GB"),
        (units.format_bytes, 12, "12 B"),
        (units.format_gigabytes, 140e9, "140.0 GB"),
        (units.format_bandwidth, 1.25e8, "1 Gbit/s"),
        (units.format_watts, 350.4, "350 W"),
        (units.format_joules, 1234, "1.23 kJ"),
        (units.format_usd, 12, "$12.00"),
        (units.format_usd, 0.00213, "$0.00213"),
        (units.format_usd, 0.335, "$0.335"),
        (units.format_usd, 5.7e-5, "$0.000057"),
        (units.format_usd, -2e-6, "-$0.000002"),
        (units.format_usd, 9.996e-6, "$0.00001"),
        (units.format_grams, 1234, "1.23 kg"),
        (units.format_percent, 0.9, "90 %"),
        (units.format_percent, 16.1, "1,610 %"),
        (units.format_percent, -9.999, "-1,000 %"),
        (units.format_percent, 19.142, "1,914 %"),
        (units.format_percent, -9.9e-16, "0 %"),
        (units.format_seconds, math.inf, "inf s"),
    ],
)
def test_people_see_three_digits(write, value, text):
    """Numbers for people are short."""
    assert text == write(value)


@pytest.mark.parametrize(
    ("read", "text", "meant"),
    [
        (units.bytes_per_s, "100 mbps", "100 Mbps"),
        (units.bytes_per_s, "100 mbit/s", "100 Mbit/s"),
        (units.bytes_per_s, "100mb/s", "100 Mb/s"),
        (units.bytes_per_s, "5 mB/s", "5 MB/s"),
        (units.bytes_per_s, "5 mbyte/s", "5 Mbyte/s"),
        (units.bytes_, "100 mbit", "100 Mbit"),
        (units.bytes_, "5 mB", "5 MB"),
        (units.bytes_, "5 miB", "5 MiB"),
    ],
)
def test_data_is_never_counted_in_thousandths(read, text, meant):
    """A small m is a slip for a large one, which is proposed and can be read."""
    with pytest.raises(UnitError, match=f"did you mean '{meant}'"):
        read(text)
    assert read(meant) > 1e5


def test_small_prefixes_stay_where_they_mean_something():
    """Energies per bit come in small prefixes."""
    assert units.joules_per_byte("2 mJ/bit") == pytest.approx(0.016)


def test_a_bandwidth_that_the_network_cannot_count_is_refused():
    """Nothing overflows in silence."""

    class Link(BaseModel):
        bandwidth: units.BytesPerSecond

    assert Link(bandwidth="8 Pbps").bandwidth == 1e15
    with pytest.raises(ValidationError, match="'1e30 Gbps' is too large; a bandwidth may be up to 1 PB/s"):
        Link(bandwidth="1e30 Gbps")
