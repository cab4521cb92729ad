"""Installed plugins: found by their entry points, imported by a process of their own first, and only then here."""
