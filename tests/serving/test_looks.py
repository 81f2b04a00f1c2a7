"""What a policy may do to the list of its candidates: read it."""

from __future__ import annotations

import pytest

from edgesim.serving.views import Looks


@pytest.mark.parametrize(
    "change",
    [
        lambda looks: looks.append(None),
        lambda looks: looks.clear(),
        lambda looks: looks.pop(),
        lambda looks: looks.sort(),
        lambda looks: looks.reverse(),
        lambda looks: looks.__setitem__(0, None),
        lambda looks: looks.__delitem__(0),
        lambda looks: looks.__iadd__([None]),
    ],
)
def test_candidates_cannot_be_changed(change):
    """They are the same list for every request of an origin; a change would reach into later decisions."""
    looks = Looks([None])
    with pytest.raises(TypeError, match=r"list\(candidates\)"):
        change(looks)
    assert list(looks) == [None]
