"""Installed plugins: found by their entry points, tried in a process of their own, and only then imported here."""
