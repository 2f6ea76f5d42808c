#!/usr/bin/env bash
# A real Slurm of several nodes on this one machine, to be thrown away. Every node is a network, process, name and mount namespace
# with a slurmd of its own, so it has its own host name and can lose its power. Needs root, and: slurm-wlm munge iproute2.
#
#   cluster.sh start        NODES=3 CPUS=2 GPUS=2 MAXARRAY=4 in DIR; prints nothing, ends when all nodes are idle
#   cluster.sh crash NODE   every process of the node is killed, and the controller is told, as a power monitor would
#   cluster.sh boot NODE    the node is back
#   cluster.sh as USER COMMAND …   as somebody who is known on this cluster only, and is nobody in particular
#   cluster.sh stop
set -euo pipefail
DIR=${DIR:?a folder} NODES=${NODES:-3} CPUS=${CPUS:-2} GPUS=${GPUS:-2} MAXARRAY=${MAXARRAY:-4}
NET=${NET:-10.232.7} BR=${BR:-d4atest} PORT=${PORT:-6817}
ANYBODY=${ANYBODY:-somebody} CLOSED=${CLOSED:-}  # a user's name; folders, root's alone, of which everybody may read what lies in them
export SLURM_CONF=$DIR/etc/slurm.conf

configure() {
  mkdir -p "$DIR"/{etc,run,log,state,dev,spool}
  chmod 755 "$DIR" "$DIR"/{etc,run,log}
  { cat /etc/passwd; echo "$ANYBODY:x:61234:61234::$DIR/home:/bin/bash"; } >"$DIR/etc/passwd"
  install -d -o 61234 -g 61234 "$DIR/home"
  head -c 1024 /dev/urandom >"$DIR/etc/munge.key"; chmod 400 "$DIR/etc/munge.key"
  # fake cards: character devices of the name that Slurm expects, so that it counts them and sets CUDA_VISIBLE_DEVICES
  for ((g = 0; g < GPUS; g++)); do [[ -e $DIR/dev/nvidia$g ]] || mknod "$DIR/dev/nvidia$g" c 1 3; done
  cat >"$SLURM_CONF" <<CONF
ClusterName=d4atest
SlurmctldHost=ctl($NET.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/run/munge.sock,cred_expire=30
CredType=cred/munge
StateSaveLocation=$DIR/state
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdSpoolDir=$DIR/spool/%n
SlurmdPidFile=$DIR/run/slurmd-%n.pid
SlurmdLogFile=$DIR/log/slurmd-%n.log
SlurmdParameters=config_overrides
SlurmctldPort=$PORT
SlurmdPort=6818
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=50000,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MaxArraySize=$MAXARRAY
MaxJobCount=1000
MinJobAge=600
KillWait=3
InactiveLimit=0
SlurmctldTimeout=60
SlurmdTimeout=120
BatchStartTimeout=120
MessageTimeout=60
ReturnToService=2
GresTypes=gpu
CONF
  echo AutoDetect=off >"$DIR/etc/gres.conf"
  { cat /etc/hosts; echo "$NET.1 ctl"; } >"$DIR/etc/hosts"
  for ((i = 1; i <= NODES; i++)); do
    echo "NodeName=n$i NodeAddr=$NET.$((i + 10)) CPUs=$CPUS RealMemory=4000 Gres=gpu:$GPUS" >>"$SLURM_CONF"
    echo "NodeName=n$i Name=gpu File=$DIR/dev/nvidia[0-$((GPUS - 1))]" >>"$DIR/etc/gres.conf"
    echo "$NET.$((i + 10)) n$i" >>"$DIR/etc/hosts"
  done
  echo "PartitionName=all Nodes=n[1-$NODES] Default=YES LLN=YES MaxTime=60 State=UP" >>"$SLURM_CONF"
}

connect() {
  ip link add "$BR" type bridge
  ip addr add "$NET.1/24" dev "$BR"; ip link set "$BR" up
  for ((i = 1; i <= NODES; i++)); do
    ip netns add "$BR-n$i"
    ip link add "$BR-$i" type veth peer name eth0 netns "$BR-n$i"
    ip link set "$BR-$i" master "$BR" up
    ip -n "$BR-n$i" addr add "$NET.$((i + 10))/24" dev eth0
    ip -n "$BR-n$i" link set lo up; ip -n "$BR-n$i" link set eth0 up
  done
}

# in a mount namespace: hosts and users of the cluster, and a closed folder is open, for a checkout or a Python may lie in root's home
mounts() {
  mount --bind "$DIR/etc/hosts" /etc/hosts; mount --bind "$DIR/etc/passwd" /etc/passwd
  for closed in $CLOSED; do
    mkdir -p "$DIR/behind$closed"; mount --bind "$closed" "$DIR/behind$closed"; mount -t tmpfs -o mode=755 none "$closed"
    for path in "$DIR/behind$closed"/{*,.[!.]*}; do
      [[ ! -d $path ]] || { mkdir "$closed/${path##*/}"; mount --bind "$path" "$closed/${path##*/}"; }
    done
  done
}
export -f mounts; export DIR CLOSED

as() {
  local user=$1; shift
  HOME=$DIR/home exec unshare --mount bash -c 'mounts; cd ~; exec setpriv --reuid '"$user"' --regid 61234 --clear-groups "$@"' - "$@"
}

# nsenter, not `ip netns exec`, which mounts a /sys that slurmd does not start with
boot() {
  mkdir -p "$DIR/spool/$1"
  nsenter --net="/run/netns/$BR-$1" setsid unshare --uts --ipc --mount --pid --fork --mount-proc bash -c "
    hostname $1; mounts
    exec env -u SLURM_CONF slurmd -D -f '$SLURM_CONF' -N $1" </dev/null >/dev/null 2>&1 &
}

crash() {
  local pids; pids=$(ip netns pids "$BR-$1")
  [[ -z $pids ]] || kill -9 $pids 2>/dev/null || true
  rm -f "$DIR/run/slurmd-$1.pid"
}

# timeouts are long, so that a loaded machine is not taken for a dead node: a death is told
down() { scontrol update "nodename=$1" state=down reason=power; }

wait_idle() {
  for ((t = 0; t < 600; t++)); do
    (($(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | sort -u | wc -l) == NODES)) && return
    sleep 0.1
  done
  echo "nodes are not idle after a minute; see $DIR/log" >&2; return 1
}

stop() {
  for ((i = 1; i <= NODES; i++)); do [[ ! -e /run/netns/$BR-n$i ]] || { crash "n$i"; ip netns del "$BR-n$i"; }; done
  for name in slurmctld munged; do
    local pid; pid=$(cat "$DIR/run/$name.pid" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null || continue
    for ((t = 0; t < 50; t++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  done
  for ((i = 1; i <= NODES; i++)); do ip link del "$BR-$i" 2>/dev/null || true; done  # veths outlive their namespace
  ip link del "$BR" 2>/dev/null || true
}

case ${1:-} in
  start)
    stop >/dev/null 2>&1
    configure; connect
    munged --force --key-file="$DIR/etc/munge.key" --socket="$DIR/run/munge.sock" --pid-file="$DIR/run/munged.pid" \
      --log-file="$DIR/log/munged.log" --seed-file="$DIR/run/munged.seed"
    # slurmctld looks its own name up: it gets a name and a hosts file of its own
    unshare --uts --mount bash -c "hostname ctl; mounts; exec slurmctld -f '$SLURM_CONF' -c"
    for ((i = 1; i <= NODES; i++)); do boot "n$i"; done
    wait_idle ;;
  boot) boot "$2" ;;
  crash) crash "$2"; down "$2" ;;
  as) shift; as "$@" ;;
  stop) stop ;;
  *) sed -n '5,9s/^# *//p' "$0" >&2; exit 2 ;;
esac
