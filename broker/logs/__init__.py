"""Durable log streams."""
