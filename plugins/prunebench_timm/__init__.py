"""Placeholder until its implementation lands."""
