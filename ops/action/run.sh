#!/usr/bin/env bash
# Runs what the action was asked for, shows the verdict on the job's page, and ends with the command's exit code.
set -uo pipefail

case "$COMMAND" in
doctor) arguments=(doctor "$SOURCE") && [[ -n "$MODEL" ]] && arguments+=(--model "$MODEL") ;;
check) arguments=(check) && [[ -n "$PAIR" ]] && arguments+=("$PAIR") ;;
*) echo "::error::$COMMAND is not a valid command of this action; use doctor or check" && exit 2 ;;
esac
[[ -n "$STORE" ]] && arguments+=(--store "$STORE")
while IFS= read -r line; do [[ -n "$line" ]] && arguments+=("$line"); done <<<"$ARGUMENTS"

report="${RUNNER_TEMP:-/tmp}/vecrollback-$COMMAND.json"
vecrollback "${arguments[@]}" --json >"$report"
code=$?

python - "$report" "$code" <<'PYTHON'
import json, os, pathlib, sys

path, code = pathlib.Path(sys.argv[1]), sys.argv[2]
try:
    report = json.loads(path.read_text())
except ValueError:
    report = {}
error = report.get("error", {})
verdict = report.get("verdict") or ("unknown" if code != "0" else "pass")
lines = [f"## vecrollback {os.environ['COMMAND']}: {verdict}", ""]
if error:
    lines += [error["message"], "", error.get("hint", "")]
for finding in report.get("findings", []):
    lines.append(f"- **{finding['kind']}** ({finding['severity']}, {finding['count']}): {finding['message']}")
with open(os.environ.get("GITHUB_STEP_SUMMARY", os.devnull), "a") as summary:
    summary.write("\n".join(lines) + "\n")
with open(os.environ.get("GITHUB_OUTPUT", os.devnull), "a") as outputs:
    outputs.write(f"verdict={verdict}\nreport={path}\n")
PYTHON
exit "$code"
