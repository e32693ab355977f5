"""Decodes images and audio."""
