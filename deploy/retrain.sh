#!/bin/sh
# One scheduled retraining, for cron, systemd and GitHub Actions: log what MLflow did not take before, retrain, and say
# so where the gate refuses. Ends with the status of `kedro run`: 0 promoted or nothing to do, 3 refused, 1 an error;
# 75 if another one is running.
#
# COUNTERPOISE_PROJECT  folder of the project (default: the one of this script)
# COUNTERPOISE_BIN      folder of `kedro` (default: .venv/bin of the project)
# COUNTERPOISE_ENV      environment of Kedro (default: base)
# COUNTERPOISE_PIPELINE pipeline (default: retrain)
# COUNTERPOISE_ALERT    command that is given an alert on standard input (default: alerts go to standard error alone)
set -u
project=${COUNTERPOISE_PROJECT:-$(cd "$(dirname "$0")/.." && pwd)}
kedro=${COUNTERPOISE_BIN:-$project/.venv/bin}/kedro
pipeline=${COUNTERPOISE_PIPELINE:-retrain}
refused=3 busy=75

alert() {
    echo "ALERT $1" >&2
    if [ -n "${COUNTERPOISE_ALERT:-}" ]; then echo "$1" | sh -c "$COUNTERPOISE_ALERT"; fi
}

cd "$project" || exit 1
mkdir -p data
exec 9>data/.scheduled.lock
flock -n 9 || { echo "another scheduled run is going on"; exit "$busy"; }

environment=${COUNTERPOISE_ENV:-base}
set -- --env="$environment"
"$kedro" run "$@" --pipelines=sync_tracking || alert "sync_tracking of $project: some of it is still not logged"
"$kedro" run "$@" --pipelines="$pipeline"
status=$?
case $status in
    0) ;;
    "$refused") alert "REFUSED: $pipeline in $project, environment $environment: its output says why and names the report" ;;
    *) alert "FAILED: $pipeline in $project ended with status $status" ;;
esac
exit "$status"
