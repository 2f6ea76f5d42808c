#!/bin/sh
# install.sh PYTHON EXTRA: what `make gpu-check` runs in, below .venv-gpu. Two environments, for RAPIDS and PyPI's torch of CUDA 12 want
# different versions of nvJitLink; what cannot be installed is missing in the table, and the rest is checked all the same.
set -u
for place in rapids torch; do
    test -x .venv-gpu/$place/bin/python || "$1" -m venv .venv-gpu/$place
    .venv-gpu/$place/bin/python -m pip install --quiet --upgrade pip
done

# cuDF asks for a numba of its own; where its newest release wants others of the tested versions too, without them
grep -v -E '^(numba|llvmlite)==' constraints.txt > .venv-gpu/rapids.txt
pip=".venv-gpu/rapids/bin/python -m pip install --quiet"
$pip -c .venv-gpu/rapids.txt -e ".[text,$2]" || $pip -e ".[text,$2]" || $pip -e ".[text]" 'numba-cuda[cu13]' || echo "no RAPIDS"

torch=
test "$2" = gpu-cu12 && torch='torch<2.11' # the last ones that PyPI has for CUDA 12
grep -v -E "^(numba|llvmlite${torch:+|torch|torchvision})==" constraints.txt > .venv-gpu/torch.txt
.venv-gpu/torch/bin/python -m pip install --quiet -c .venv-gpu/torch.txt -e '.[image,detect]' ${torch:+"$torch"} || echo "no torch"
