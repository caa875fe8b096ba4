"""Why a window differs: what happened to columns, what moved the scores, and where."""
