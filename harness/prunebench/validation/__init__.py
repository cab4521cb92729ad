"""Contributed results are data: read, never run, and compared with what the base holds."""
