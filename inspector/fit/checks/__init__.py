"""Limits that a repository keeps in a file, held against what its trainings take today, and what a commit cost."""

from inspector.fit.checks.checking import check
from inspector.fit.checks.difference import diff_runs

__all__ = ["check", "diff_runs"]
