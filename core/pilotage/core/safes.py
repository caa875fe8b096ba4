"""skops, which stores estimators without pickle, imported without PyTorch.

On its import skops walks through all of scikit-learn, and the adapter there for PyTorch's arrays would import
PyTorch wherever it is installed: seconds of every process that opens a model. So the adapter is as if it
were missing while skops is imported; scikit-learn asks for it when it is given such arrays, and has it then.
Import this module on use: scikit-learn comes with it.
"""

from __future__ import annotations

import sys

_ADAPTER = "sklearn.externals.array_api_compat.torch"
_absent = _ADAPTER not in sys.modules
if _absent:
    sys.modules[_ADAPTER] = None  # type: ignore[assignment]  # how Python is told that there is none
try:
    from skops import io
    from skops.io.exceptions import UntrustedTypesFoundException
finally:
    if _absent:
        del sys.modules[_ADAPTER]

__all__ = ["UntrustedTypesFoundException", "io"]
