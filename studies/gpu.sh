#!/usr/bin/env bash
# Tests kanlit on a GPU, in less than 8 minutes and without a network connection:
#
#     PYTHON=.venv/bin/python studies/gpu.sh
#
# DEVICE=cpu runs the same on the CPU, with fewer steps. PYTHON is the interpreter of an environment
# with kanlit's dependencies and pytest; kanlit itself is imported from this checkout.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$(command -v "${PYTHON:-python3}")"
case "$python" in /*) ;; *) python="$PWD/$python" ;; esac
export DEVICE="${DEVICE:-cuda}" PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

if [[ "$DEVICE" == cuda ]]; then
    accelerator=gpu steps=()
else
    accelerator=cpu steps=(--cases 1 --sizes 3 12 --steps 5 --backend aot_eager)
fi
failed=()
step() { # name, command: runs the command, prints its time, and continues after a failure
    local name="$1" start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@" || failed+=("$name")
    printf -- '-- %s s\n' $((SECONDS - start))
}

cd "$scratch"
step "device" "$python" -c "
import torch
print(torch.__version__, torch.cuda.get_device_name() if '$DEVICE' == 'cuda' else '$DEVICE')"
step "tests marked gpu" "$python" -m pytest -q -p no:cacheprovider -m gpu \
    -c "$root/pyproject.toml" "$root/tests/test_gpu.py"
for config in synthetic feynman helmholtz; do
    step "configs/$config.yaml, 50 epochs" "$python" -m kanlit fit \
        --config "$root/configs/$config.yaml" --adaptation.schedule '{0: 3, 25: 6}' \
        --trainer.max_epochs 50 --trainer.accelerator "$accelerator" --trainer.devices 1 \
        --trainer.enable_progress_bar false
done
step "time of a training step" "$python" "$root/studies/gpu_steps.py" --device "$DEVICE" \
    ${steps[@]+"${steps[@]}"}
step "two processes on one device, gloo" "$python" "$root/studies/gpu_processes.py" \
    --device "$DEVICE"

printf '\n%s s in all\n' "$SECONDS"
if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
