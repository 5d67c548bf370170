#!/bin/sh
# Takes out of a virtual environment what only builds and tests of its libraries need. Usage: slim.sh VENV
set -eu
site=$(echo "$1"/lib/python3*/site-packages)
# `testing` packages stay: libraries import them.
find "$site" -type d \( -name tests -o -name test \) -not -path '*/dagster*' -prune -exec rm -rf {} +
rm -rf "$site"/torch/include "$site"/torch/bin "$site"/torch/share "$site"/pyarrow/include "$site"/numpy/_core/include
rm -rf "$site"/pip "$site"/pip-* "$site"/setuptools "$site"/setuptools-*
find "$site" \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.cpp' -o -name '*.js.map' \) -delete
