"""Prune your own data: read, embed, score, select, prove, ledger, report; one module or folder per step."""
