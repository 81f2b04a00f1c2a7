"""The random systems of `edgesim.verify`, where scripts of the tests find them."""

from edgesim.verify.random_systems import *  # noqa: F403
