"""Bytes to pictures and waveforms."""
