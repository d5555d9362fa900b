//! A server in a container, with a stand-in for the engine: it runs the command of the "container" with a
//! process namespace of its own, and a stand-in for the image's `docker-entrypoint.sh` starts the
//! PostgreSQL of this machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use oauth_storage_testbed::Cluster;

use crate::machine::{Machine, find, limited, not_run};

const ENGINE: &str = r#"
PATH=$REAL_PATH
echo "$*" >>"$CALLS"
case $1 in
info) exit 0 ;;
image) [ -e "$CALLS.image" ]; exit ;;
pull) touch "$CALLS.image"; exit ;;
run) ;;
*) exit 1 ;;
esac
while [ "$1" != --publish ]; do shift; done
port=${2#127.0.0.1:}
while [ "$1" != --entrypoint ]; do shift; done
shift 3
dir=$(mktemp -d)
chmod 755 "$dir"
export port=${port%:5432} dir PATH=$ENTRYPOINT:$PATH
unshare $NAMESPACE --pid --fork --kill-child sh "$@"
rm -r "$dir"
echo "ended" >>"$CALLS"
"#;

/// It is `docker-entrypoint.sh postgres ARGUMENT…`, as process 1.
const ENTRYPOINT: &str = r#"
[ $$ = 1 ] && [ "$1" = postgres ] || exit 1
shift
user=
if [ "$(id -u)" = 0 ]; then
    user="setpriv --reuid $SERVER_UID --regid $SERVER_GID --clear-groups"
    chown "$SERVER_UID:$SERVER_GID" "$dir"
fi
printf %s "$POSTGRES_PASSWORD" >"$dir/password"
chmod 644 "$dir/password"
$user "$BIN/initdb" --pgdata "$dir/data" --username postgres --auth scram-sha-256 \
    --pwfile "$dir/password" --no-sync --no-locale || exit
exec $user "$BIN/postgres" -D "$dir/data" -p "$port" -c unix_socket_directories= "$@"
"#;

/// The option with which this user can make a process namespace.
fn namespace() -> Option<&'static str> {
    let works = |option: &&str| {
        let mut unshare = Command::new("unshare");
        unshare.args(option.split_whitespace()).args(["--pid", "--fork", "true"]);
        unshare.output().is_ok_and(|output| output.status.success())
    };
    ["", "--user --map-current-user"].into_iter().find(works)
}

/// A machine with a stand-in for the engine, which has pulled nothing.
async fn machine(test: &str, engine: &str) -> Option<Machine> {
    let Some(namespace) = namespace() else {
        not_run(test, "`unshare --pid` does not work here");
        return None;
    };
    let cluster = Cluster::start(&[]).await.unwrap();
    let owner = fs::metadata(cluster.data_dir()).unwrap();
    let machine = Machine::new();
    let entrypoint = machine.folder().join("entrypoint");
    let machine = machine
        .with("REAL_PATH", &std::env::var("PATH").unwrap())
        .with("NAMESPACE", namespace)
        .with("ENTRYPOINT", entrypoint.to_str().unwrap())
        .with("BIN", cluster.bin_dir().to_str().unwrap())
        .with("SERVER_UID", &owner.uid().to_string())
        .with("SERVER_GID", &owner.gid().to_string());
    machine.script(engine, ENGINE);
    machine.script("docker-entrypoint.sh", ENTRYPOINT);
    fs::create_dir(&entrypoint).unwrap();
    let file = "docker-entrypoint.sh";
    fs::rename(machine.bin().join(file), entrypoint.join(file)).unwrap();
    assert!(find("setpriv").is_some());
    Some(machine)
}

async fn serves(test: &str, engine: &str) {
    let Some(machine) = machine(test, engine).await else { return };
    let serving = machine.serves().await;
    assert!(serving.server.contains(&format!("in a container of {engine}")), "{serving:?}");
    let password = serving.url.split([':', '@']).nth(2).unwrap().to_owned();
    let said = serving.killed().await;
    assert!(said.contains(&format!("{engine} pulls postgres:18.4, once")), "{said}");
    limited("the container's end", async {
        while !machine.calls().ends_with("ended\n") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(!machine.calls().contains(&password), "{}", machine.calls());

    // The image is there now. A testbed that ends by itself waits for the end of its container.
    let machine = machine.with("OAUTH_STORAGE_OFFLINE", "1");
    machine.runs("true").await;
    assert_eq!(machine.calls().matches("ended\n").count(), 2, "{}", machine.calls());
    assert_eq!(machine.serves().await.killed().await, "");
    assert_eq!(machine.calls().matches("pull").count(), 1, "{}", machine.calls());
}

#[tokio::test]
async fn docker_runs_the_image() {
    serves("container::docker_runs_the_image", "docker").await;
}

#[tokio::test]
async fn podman_runs_the_image() {
    serves("container::podman_runs_the_image", "podman").await;
}

#[tokio::test]
async fn podman_is_used_if_docker_has_no_engine() {
    let test = "container::podman_is_used_if_docker_has_no_engine";
    let Some(machine) = machine(test, "podman").await else { return };
    machine.script("docker", "echo 'Cannot connect to the daemon' >&2; exit 1");
    let serving = machine.serves().await;
    assert!(serving.server.contains("in a container of podman"), "{serving:?}");
    serving.killed().await;
}

#[tokio::test]
async fn a_container_that_ends_is_reported_with_its_messages() {
    let machine = Machine::new();
    let run = "[ \"$1\" != run ] || { echo 'no space left on device'; exit 125; }";
    machine.script("docker", run);
    let error = machine.fails().await;
    assert!(error.contains("docker: the container ended: exit status: 125"), "{error}");
    assert!(error.contains("no space left on device"), "{error}");
}

#[tokio::test]
async fn an_image_is_not_pulled_where_nothing_may_be_fetched() {
    let machine = Machine::new().with("OAUTH_STORAGE_OFFLINE", "1");
    machine.script("docker", "echo \"$*\" >>\"$CALLS\"; [ \"$1\" = info ]");
    let error = machine.fails().await;
    assert!(error.contains("OAUTH_STORAGE_OFFLINE forbids to pull it"), "{error}");
    assert_eq!(machine.calls(), "info\nimage inspect postgres:18.4\n");
}
