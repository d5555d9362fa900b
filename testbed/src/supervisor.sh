# Runs one throwaway PostgreSQL: $1 is the folder of its programs, $2 its own new folder.
#
# It reads commands from stdin, one per line, and answers each with one line on stdout. The pipe closes
# when the process at its other end ends, even by kill -9. Then the server is stopped and the folder
# removed. Nothing else ends this script.

trap '' HUP INT TERM PIPE
umask 077
bin=$1 dir=$2 data=$2/data pidfile=$2/data/postmaster.pid port=0

init() {
    printf '%s\n' "$1" >"$dir/password" &&
        "$bin/initdb" --pgdata "$data" --username postgres --pwfile "$dir/password" \
            --auth scram-sha-256 --encoding UTF8 --no-locale --no-sync &&
        rm "$dir/password"
}

# Copies the server on the port and with the password in $1, and follows it.
follow() {
    PGPASSWORD=${1#* } "$bin/pg_basebackup" --host 127.0.0.1 --port "${1%% *}" \
        --username postgres --pgdata "$data" --write-recovery-conf --checkpoint fast --no-sync
}

promote() {
    "$bin/pg_ctl" promote --pgdata "$data" --wait --timeout 60
}

start() {
    port=$1
    "$bin/pg_ctl" start --pgdata "$data" --log "$dir/postgres.log" --options "-p $port" \
        --wait --timeout 60
}

signal() {
    [ -f "$pidfile" ] && kill -s "$1" "$(head -n 1 "$pidfile")"
}

stop() {
    [ -f "$pidfile" ] || return 0
    signal CONT # a server stopped by SIGSTOP handles no other signal
    "$bin/pg_ctl" stop --pgdata "$data" --mode "$1" --wait --timeout 60
}

error=$(mkdir "$dir" 2>&1) || {
    echo "$error"
    exit 1
}
echo ok

while read -r command argument; do
    if "$command" "$argument" </dev/null >>"$dir/supervisor.log" 2>&1; then
        echo ok
    else
        echo failed
    fi
done

{
    # Immediate means without a checkpoint. The data is not needed any more.
    stop immediate || signal KILL
    # A killed server leaves shared memory behind, which only its next start removes.
    [ ! -f "$pidfile" ] || { start "$port" && stop immediate; }
} </dev/null >>"$dir/supervisor.log" 2>&1
rm -rf "$dir"
