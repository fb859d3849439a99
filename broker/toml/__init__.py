"""Texts in TOML that people write: what is wrong with one, at which of its lines, and what may have been meant.

``reading`` looks at values, ``layout`` at where statements stand.  Access rules and configuration are read with it.
"""
