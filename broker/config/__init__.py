"""An endpoint's configuration as a text in TOML, and what it says: without reading any file.

``model`` is what can be said, ``kinds`` how each value is read, ``parsing`` makes a configuration of a text, with
everything that is wrong in it, ``overrides`` puts what the environment and flags say in place of what the text does,
``checking`` looks for what does not go together, ``shown`` tells what holds and where it was said.
"""
