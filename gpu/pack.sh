#!/usr/bin/env bash
# Pack what a machine without a network needs into folders of at most MIB mebibytes: bash gpu/pack.sh OUT MIB FILE...
# FILE: data, weights, or folders of them; OUT should be ignored by git.  WHEELS: what that machine's Python lacks beside
# prunebench; PYTHON: its version.  On the machine, with all folders copied to one: . gpu/unpack.sh FOLDER
set -euo pipefail
out=$1 mib=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$out" "$scratch/wheels" "$scratch/data"
platforms=$(printf -- '--platform manylinux_2_%s_x86_64 ' 34 31 28 27 24 17 12 5)
# shellcheck disable=SC2086
python3 -m pip download -q --no-deps --only-binary=:all: --python-version "${PYTHON:-3.12}" --implementation cp \
  $platforms --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$scratch/wheels" \
  ${WHEELS:-msgspec umap-learn pynndescent multipers==2.3.2 gudhi==3.12.0 ripser persim hopcroftkarp deprecated platformdirs}
uv build -q --wheel -o "$scratch/wheels" "$(dirname "$0")/.."
cp -rL "$@" "$scratch/data/"
tar cf "$scratch/all.tar" -C "$scratch" wheels data
split -b "${mib}m" -d -a 3 "$scratch/all.tar" "$scratch/part-"
for part in "$scratch"/part-*; do
  mkdir -p "$out/${part##*-}"
  mv "$part" "$out/${part##*-}/"
done
du -sm "$out"/*
