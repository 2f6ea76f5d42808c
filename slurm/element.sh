# What an element of an array does. Arguments: folder of the scripts, list of units, first element of this array, elements of the step.
units=$2 element=$(($3 + SLURM_ARRAY_TASK_ID)) elements=$4

[[ -e $units ]] && (($(wc -l <"$units") > element)) || { echo "no units are left for element $element"; exit 0; }
"${d4a[@]}" run-unit "$units" "$element" --of "$elements" --workers "${workers:-${SLURM_CPUS_PER_TASK:-1}}" &
d4a_pid=$!
# Slurm sends USR1 to this shell before the time limit (--signal): d4a stops, and what it committed stays
trap 'late=1; kill -USR1 $d4a_pid 2>/dev/null' USR1
wait $d4a_pid; code=$?
while kill -0 $d4a_pid 2>/dev/null; do wait $d4a_pid; code=$?; done  # a signal ends `wait` before its process

# 1: a unit failed, or not one was finished in the time there was: another time would be the same
if [[ ${late:-} && $code != [01] ]]; then
    echo "out of time: element $element goes back into the queue"
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit $code
