#!/usr/bin/env bash
# The quickstart, played on real files in a directory of its own: `make demo`.
#
# Each step says what it does, does it with the command that a person would type, and checks that it came true. The exit
# status is 0 only if all of it did. Whatever happens, the host that was started is stopped and the directory removed.
set -euo pipefail

if ((BASH_VERSINFO[0] < 5)); then
    echo "demo: this is bash $BASH_VERSION; bash 5 or later is needed to tell the time" >&2
    exit 1
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$(cd "$root" && cd "${CARGO_TARGET_DIR:-target}" 2>/dev/null && pwd) || target=$root/target
for file in release/homeostat wasm32-wasip2/release/instance_file.wasm wasm32-wasip2/release/flavor_vanilla.wasm; do
    if [[ ! -f $target/$file ]]; then
        echo "demo: $target/$file is not there; build it with: make build" >&2
        exit 1
    fi
done

# How long one step may take. On a machine with nothing else to do none takes half a second.
patience=30

# ---- How it looks ----------------------------------------------------------------------------------------------------

bold='' dim='' green='' red='' cyan='' plain='' tick=ok
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
fi
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in *[Uu][Tt][Ff]*) tick='✓' ;; esac

chapter=0
chapter() { chapter=$((chapter + 1)) && printf '\n%s%d. %s%s\n' "$bold" "$chapter" "$1" "$plain"; }
tell() { printf '   %s\n' "$1"; }
typed() { printf '   %s$ %s%s\n' "$cyan" "$*" "$plain"; }
indent() { sed "s/^/     $dim/; s/\$/$plain/"; }
came_true() { printf '   %s%s%s %s\n' "$green" "$tick" "$plain" "$1"; }

# Why it ends, told last.
verdict=
fail() { verdict="this did not come true: $1" && exit 1; }

# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    "$@" || fail "$what"
    came_true "$what"
}

# Show a command, run it, show what it says; what it says is also in $said. It must succeed.
said=
run() {
    local status=0
    typed "$*"
    said=$("$@" 2>&1) || status=$?
    if [[ -n $said ]]; then indent <<<"$said"; fi
    if ((status != 0)); then fail "exit status 0 of: $* (it was $status)"; fi
}

# ---- Time ------------------------------------------------------------------------------------------------------------

# Microseconds since the epoch, in $now. (The decimal point depends on the locale.)
now() { now=${EPOCHREALTIME/[.,]/}; }
start_clock() { now && began=$now; }
# The milliseconds since start_clock, in $took.
stop_clock() { now && took=$(((now - began) / 1000)); }

# eventually WHAT COMMAND...: poll until the command succeeds, every millisecond and without a new process each time.
eventually() {
    local what=$1 deadline
    shift
    now && deadline=$((now + patience * 1000000))
    until "$@"; do
        now
        ((now < deadline)) || fail "$what (waited for $patience s)"
        if [[ -n $host ]] && ! kill -0 "$host" 2>/dev/null; then fail "$what: the host has ended by itself"; fi
        read -rt 0.001 -u "$pause" || true
    done
}

# ---- The stage -------------------------------------------------------------------------------------------------------

tmp=$(mktemp -d "${TMPDIR:-/tmp}/homeostat-demo.XXXXXX")
host='' commit=''

clean_up() {
    local status=$?
    trap - EXIT
    if [[ -n $commit ]]; then kill -TERM "$commit" 2>/dev/null || true; fi
    if [[ -n $host ]]; then
        kill -TERM "$host" 2>/dev/null || true
        for ((i = 0; i < 100; i++)); do
            kill -0 "$host" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$host" 2>/dev/null || true
        wait "$host" 2>/dev/null || true
    fi
    if ((status != 0)) && [[ -s $tmp/host.log ]]; then
        echo 'demo: the end of the log of the host:' >&2
        tail -n 30 "$tmp/host.log" >&2
    fi
    rm -rf "$tmp"
    if ((status != 0)); then
        printf '\n%sdemo: %s%s\n' "$red" "${verdict:-stopped, with exit status $status}" "$plain" >&2
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkfifo "$tmp/pause"
exec {pause}<>"$tmp/pause"

# The documents say `../../target/...`, and are played as they are: the stage is laid out like the repository.
mkdir -p "$tmp/examples/quickstart"
ln -s "$target" "$tmp/target"
cd "$tmp/examples/quickstart"
cp "$here"/{collabnix,stack,second}.json .
mkdir instances second

export HOMEOSTAT_STATE_DIR=$tmp/state
unset HOMEOSTAT_LOG
PATH=$target/release:$PATH

# The instances in a directory, in $found. (Helper files of a call under way begin with a dot, and do not count.)
shopt -s nullglob
list() { found=("$1"/*.json); }
has() { list "$1" && ((${#found[@]} == $2)); }
all_have() { list "$1" && ((${#found[@]} > 0)) && [[ -z $(grep -LF -- "$2" "${found[@]}") ]]; }
none_has() { list "$1" && ((${#found[@]} > 0)) && ! grep -qF -- "$2" "${found[@]}"; }
# Everything about the files that would change if anybody touched them.
fingerprint() { for dir in "$@"; do ls -li "$dir" && cksum "$dir"/*.json; done; }
says() { [[ $said == *"$1"* ]]; }
same() { [[ $1 == "$2" ]]; }
gone() { for file in "$@"; do [[ ! -e $file ]] || return 1; done; }
between() { (($2 <= $1 && $1 <= $3)); }

start_host() {
    : >"$tmp/ready"
    typed 'homeostat serve &'
    start_clock
    homeostat serve >"$tmp/ready" 2>>"$tmp/host.log" &
    host=$!
    eventually 'the host is ready' grep -q '^ready: ' "$tmp/ready"
    stop_clock
    came_true "the host is ready after $took ms"
}

stop_host() {
    local status=0
    typed 'kill -TERM %1'
    kill -TERM "$host"
    wait "$host" || status=$?
    host=
    check 'the host has stopped, with exit status 0' same "$status" 0
}

# ---- The story -------------------------------------------------------------------------------------------------------

printf '%shomeostat: a group that keeps itself as declared%s\n' "$bold" "$plain"
tell "An instance is a file here, made by a plugin that may touch nothing but one directory. Played in $tmp."

chapter 'A host, and five instances'
start_host
run homeostat group commit stack.json --pretend
check 'pretending has changed nothing' has instances 0
start_clock
run homeostat group commit stack.json --wait --timeout "${patience}s"
stop_clock
check "five files are there, $took ms after the command" has instances 5
check 'each has the Init of the flavor' all_have instances 'docker run -d -p 8080:80 dockercloud/hello-world'
check 'each has the tags of the flavor' all_have instances '"tier": "web"'
check 'each says which group it is of' all_have instances '"infrakit.group": "collabnix"'
run homeostat group describe collabnix
list instances
typed "cat ${found[0]}"
indent <"${found[0]}"

chapter 'Two are deleted behind its back'
victims=("${found[1]}" "${found[3]}")
others=("${found[0]}" "${found[2]}" "${found[4]}")
untouched=$(cksum "${others[@]}")
typed "rm ${victims[*]}"
start_clock
rm "${victims[@]}"
eventually 'two new files take their place' has instances 5
stop_clock
came_true "five files again, $took ms after two were deleted"
check 'the other three were not touched' same "$(cksum "${others[@]}")" "$untouched"
run homeostat group commit collabnix.json --wait --timeout "${patience}s"
check 'the group of the tutorial asks for nothing more' says 'Noop'

chapter 'It grows to eight'
run homeostat group scale collabnix 8 --wait --timeout "${patience}s"
check 'eight files' has instances 8

chapter 'Another Init rolls through, one instance at a time'
list instances
before=("${found[@]}")
tell 'stack.json is edited: 8 instances, and the image hello-world:v2'
sed -e 's/"Size": 5/"Size": 8/' -e 's/hello-world"/hello-world:v2"/g' stack.json >edited.json
mv edited.json stack.json
run homeostat group commit stack.json --pretend
check 'it would replace all eight' says 'Performing a rolling update on 8 instances'
typed 'homeostat group commit stack.json --wait'
start_clock
homeostat group commit stack.json --wait --timeout "${patience}s" >"$tmp/said" 2>&1 &
commit=$!
fewest=8 most=8
while kill -0 "$commit" 2>/dev/null; do
    list instances
    fewest=$((${#found[@]} < fewest ? ${#found[@]} : fewest))
    most=$((${#found[@]} > most ? ${#found[@]} : most))
    read -rt 0.001 -u "$pause" || true
done
status=0
wait "$commit" || status=$?
commit=
stop_clock
indent <"$tmp/said"
check 'the commit succeeded' same "$status" 0
check "eight files, $took ms later" has instances 8
check 'each has the new Init' all_have instances 'docker run -d -p 8080:80 dockercloud/hello-world:v2'
check 'none has the old one' none_has instances 'hello-world"'
check 'all are new instances' gone "${before[@]}"
check "there were never fewer than 7 (seen: $fewest)" between "$fewest" 7 8
check "there were never more than 8 (seen: $most)" between "$most" 8 8

chapter 'A second plugin beside the first: the same file, another directory'
first=$(fingerprint instances)
run homeostat group commit second.json --wait --timeout "${patience}s"
check 'three files in its own directory' has second 3
check 'they are of the group "second"' all_have second '"infrakit.group": "second"'
check 'nothing has changed for the group beside it' same "$(fingerprint instances)" "$first"
run homeostat plugin ls
run homeostat group ls

chapter 'The host stops, and loses all that it knew'
world=$(fingerprint instances second)
stop_host
tell 'The instances live on without it. Its state directory is deleted:'
run rm -r "$HOMEOSTAT_STATE_DIR"
start_host
run homeostat group commit stack.json --wait --timeout "${patience}s"
run homeostat group commit second.json --wait --timeout "${patience}s"
check 'it has found every instance by its tags, and changed none' same "$(fingerprint instances second)" "$world"
run homeostat group ls

chapter 'The groups are destroyed'
run homeostat group destroy collabnix --timeout "${patience}s"
check 'its directory is empty' same "$(ls -A instances)" ''
check 'its neighbour has its three' has second 3
run homeostat group destroy second --timeout "${patience}s"
check 'that directory is empty too' same "$(ls -A second)" ''
stop_host

chapter 'All of it in one command, without a host beside it'
run homeostat up stack.json --until-converged --timeout "${patience}s"
check 'eight files, and nobody keeps them' has instances 8
run homeostat up stack.json --until-converged --destroy --timeout "${patience}s"
check 'found again, and destroyed' same "$(ls -A instances)" ''

printf '\n%s%sAll of it came true, in %d s.%s\n' "$bold" "$green" "$SECONDS" "$plain"
