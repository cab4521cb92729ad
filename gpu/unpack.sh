# Source it on the machine, where the parts of gpu/pack.sh lie in one folder: . gpu/unpack.sh FOLDER [SITE]
cat "$1"/part-* | tar xf - -C "$1" &&
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "${2:-$1/site}" "$1"/wheels/*.whl &&
  export PYTHONPATH="${2:-$1/site}" PYTHONUNBUFFERED=1 PRUNEBENCH_DATA="$1/data" PRUNEBENCH_CACHE="$1/cache"
