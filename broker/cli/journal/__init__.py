"""``broker journal``: files of stores and log streams, without the endpoint that owns them."""

from __future__ import annotations
