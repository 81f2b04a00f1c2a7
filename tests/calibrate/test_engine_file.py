"""The file of engines is written as the catalogue reads it."""

from __future__ import annotations

import yaml

from edgesim import catalog
from edgesim.calibrate import engine_file
from edgesim.calibrate.engines import BEGIN, Fit
from edgesim.catalog.engine import ANY


def test_what_is_written_reads_back():
    """Values to four digits, bands, accelerators, source."""
    values = BEGIN | {"layer_overhead": 12.5e-6, "memory_efficiency": 1.0}
    fit = Fit(values, {"prefill": 0.2, "decode": 0.1}, ("rtx-3090",) * 30, 7, {"decode": 0.05})
    text = engine_file.text({"llama.cpp": {ANY: fit, "ampere": fit}})
    part = yaml.safe_load(text)["llama.cpp"]["reaches"]["ampere"]
    (figures,) = part["figures"]
    assert figures["values"]["layer_overhead"] == 12.5e-6
    assert figures["values"]["decode_band"] == 0.1
    assert part["fitted_on"] == ["rtx-3090"] * 30
    assert "7 points, median error decode 5%" in figures["source"]


def test_every_engine_of_the_catalogue_states_what_it_reaches():
    """Efficiencies are shares, overheads are small, bands are stated, and a fallback exists."""
    for engine in catalog.engines().values():
        assert ANY in engine.reaches
        for key, figures in engine.reaches.items():
            assert engine.fitted_on[key], (engine.name, key)
            for name, figure in figures.items():
                assert figure.source
                assert figure.confidence == "fitted"
                assert 0 < figure.value <= (1.0 if name.endswith(("efficiency", "band")) else 3.0), (
                    engine.name,
                    key,
                    name,
                )
