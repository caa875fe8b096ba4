"""How ready a pilot is for production: the ML Test Score, told from evidence about the pilot alone.

rubrics      the 28 tests and what a score stands for
subjects     what is held about a pilot and the version that is judged
judges       one a test: evidence, or what is missing
notes        what people vouch for
proofs       what was tried out, by `trials` and `suites`
judgements   the score
histories    scores over time
limits       the least score for a version to be promoted or released
badges       a score as a picture
"""

from __future__ import annotations
