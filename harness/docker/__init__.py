"""The parts of the environment ``docker``: images, bundles, containers, and the way into them."""
