#!/usr/bin/env bash
# A SLURM of one node on this machine, from Debian's packages, without systemd or cgroups: to try sweeps and pre-emption.
#
#   eval "$(scripts/slurm_sandbox.sh up)"    start munge, slurmctld and slurmd (root), and put them on this shell's PATH
#   scripts/slurm_sandbox.sh status          nodes, queue
#   scripts/slurm_sandbox.sh down            end these daemons and no others
#   scripts/slurm_sandbox.sh install         only install the packages, as `up` does where they are missing
#
# Partitions: debug (the default) and high, whose jobs pre-empt those of debug: SIGTERM, 5 seconds later SIGKILL, and
# back into the queue. Two GPUs that are none, so that jobs may ask for them. Everything is in $SLURM_SANDBOX
# (default: ldyn-slurm in the directory for temporary files).
set -euo pipefail

directory=${SLURM_SANDBOX:-${TMPDIR:-/tmp}/ldyn-slurm}
host=$(hostname -s)
export SLURM_CONF="$directory/slurm.conf"

install_packages() {
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return
  echo "installing slurmctld, slurmd, slurm-client, munge" >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >&2
}

configure() {
  mkdir -p "$directory"/{state,spool,log,munge,run,bin}
  [ -s "$directory/munge/munge.key" ] || head -c 1024 /dev/urandom > "$directory/munge/munge.key"
  chmod 755 "$directory" "$directory/run"
  chmod 700 "$directory/munge"
  chmod 600 "$directory/munge/munge.key"
  printf 'Name=gpu File=%s\n' /dev/null /dev/zero > "$directory/gres.conf"  # SLURM wants to see some device
  cores=$(env -u OMP_NUM_THREADS nproc)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512))
  # cred_expire: a job that is requeued waits until its old credential has expired, 2 minutes by default.
  cat > "$SLURM_CONF" <<EOF
ClusterName=sandbox
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/run/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
SlurmctldLogFile=$directory/log/slurmctld.log
SlurmdLogFile=$directory/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=1
KillWait=5
InactiveLimit=0
MinJobAge=86400
SlurmctldTimeout=30
SlurmdTimeout=30
SlurmdParameters=config_overrides
Waittime=0
MaxArraySize=31
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$((cores > 2 ? cores : 2)) RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=high Nodes=$host Default=NO MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
EOF
}

# submitit asks sacct how its jobs are, and waits for ever where nobody answers that one was cancelled. A real sacct needs
# a database; this one asks slurmctld.
write_sacct() {
  cat > "$directory/bin/sacct" <<'EOF'
#!/usr/bin/env python3
import re, subprocess, sys

print("JobID|State|NodeList")
for asked in [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "-j"]:
    command = ["scontrol", "--oneliner", "show", "job", asked.split("_")[0]]
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        job = dict(re.findall(r"(\w+)=(\S+)", line))
        task = job.get("ArrayTaskId", "").split("%")[0]
        waiting = "-" in task or "," in task  # one line for all tasks that have not begun
        name = f"{job['ArrayJobId']}_{f'[{task}]' if waiting else task}" if task else job["JobId"]
        print(f"{name}|{job['JobState']}|{job.get('NodeList', '')}")
EOF
  chmod +x "$directory/bin/sacct"
}

is_up() { sinfo --noheader --format=%T 2>/dev/null | grep -qE 'idle|mixed|allocated'; }

up() {
  install_packages
  if ! is_up; then
    configure
    write_sacct
    munged --force --key-file="$directory/munge/munge.key" --socket="$directory/run/munge.socket" \
      --pid-file="$directory/munge/munged.pid" --log-file="$directory/munge/munged.log" --seed-file="$directory/munge/seed" >&2
    slurmctld -f "$SLURM_CONF" -c >&2
    slurmd -f "$SLURM_CONF" -c >&2
    for _ in $(seq 60); do is_up && break; sleep 0.5; done
    is_up || { echo "SLURM did not start; its logs are in $directory/log" >&2; down; exit 1; }
  fi
  sinfo >&2
  echo "export SLURM_CONF=$SLURM_CONF PATH=$directory/bin:\$PATH"
}

down() {
  scancel --user=root 2>/dev/null || true
  for pid in "$directory/slurmd.pid" "$directory/slurmctld.pid" "$directory/munge/munged.pid"; do
    [ ! -s "$pid" ] || kill "$(cat "$pid")" 2>/dev/null || true
  done
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  status) sinfo; squeue ;;
  install) install_packages ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
