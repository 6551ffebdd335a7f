//! A PostgreSQL server of the tests' own: as an ordinary user, on a free loopback port, with a folder that goes with it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Set by `tests/run`: nothing may be skipped.
const REQUIRE_ALL: &str = "DRIVE_AGENT_TESTS_REQUIRE_ALL";

/// The user `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65534;

/// How long a server may take to start, also after it was killed.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(20);

/// The user and the password of the tests' databases.
const USER: &str = "agent";
const PASSWORD: &str = "postgres-password-77";

/// Runs the server until it ends, or standard input does: that ends with the tests however they end, and the folder with it.
const KEEPER: &str = r#"
folder=$1
shift
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
{ cat <&3 >/dev/null; touch "$folder/ended"; kill -INT "$server"; sleep 5; kill -KILL "$server"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
kill "$watcher" 2>/dev/null
[ -e "$folder/ended" ] && rm -rf "$folder"
"#;

/// A server, stopped and forgotten when it is dropped, or when the process of the tests ends.
pub struct PostgresServer {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    keeper: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl PostgresServer {
    /// The server that all tests of a process share; `None`, with a message, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// When it does not start, or is missing where nothing may be.
    pub fn shared() -> Option<&'static PostgresServer> {
        static SHARED: OnceLock<Option<PostgresServer>> = OnceLock::new();
        let server = SHARED.get_or_init(Self::start).as_ref();
        if server.is_none() {
            let thread = std::thread::current();
            eprintln!("skipped {}: PostgreSQL is missing (tests/run installs it)", thread.name().unwrap_or("a test"));
        }
        server
    }

    /// A server of its own, for a test that kills it.
    ///
    /// # Panics
    /// As [`PostgresServer::shared`].
    pub fn start() -> Option<PostgresServer> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os(REQUIRE_ALL).is_none(), "PostgreSQL is missing, and nothing may be skipped");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("drive-agent-postgres-").tempdir().expect("a folder").keep();
        let password = folder.join("password");
        fs::write(&password, PASSWORD).expect("a file");
        if is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("a folder of nobody");
            chown(&password, Some(NOBODY), Some(NOBODY)).expect("a file of nobody");
        }
        let mut initdb = as_ordinary_user(&programs.join("initdb"), &folder);
        initdb.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username", USER]);
        initdb.arg("--pwfile").arg(&password).arg("--pgdata").arg(folder.join("data"));
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server =
            PostgresServer { folder, programs, port: free_port(), keeper: Mutex::default(), databases: AtomicU32::new(0) };
        server.go();
        Some(server)
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Child>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the server, again after it was killed, and waits until it serves.
    ///
    /// # Panics
    /// When it does not start.
    pub fn go(&self) {
        let begin = Instant::now();
        while !self.is_ready() {
            assert!(begin.elapsed() < START_TIMEOUT, "PostgreSQL does not start: {}", self.log());
            let mut keeper = self.keeper();
            // After a kill it is refused until the last of the old processes has gone: then it ends, and is started again.
            let has_ended = keeper.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if has_ended {
                *keeper = Some(self.spawn());
            }
            drop(keeper);
            std::thread::sleep(INTERVAL);
        }
    }

    fn spawn(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let mut keeper = as_ordinary_user(Path::new("/bin/sh"), &self.folder);
        keeper.args(["-c", KEEPER, "sh"]).arg(&self.folder).arg(self.programs.join("postgres"));
        keeper.arg("-D").arg(self.folder.join("data")).args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        keeper.args(["-c", "unix_socket_directories=", "-c", "max_connections=300"]).args(["-c", &format!("port={}", self.port)]);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        // A signal from the keyboard is for the tests: the server ends with them.
        keeper.process_group(0).spawn().expect("a shell")
    }

    /// The first process of the server, where it runs.
    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).ok()?;
        let id: u32 = text.lines().next()?.parse().ok()?;
        let state = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // One that ended, and that nothing has waited for yet, is a zombie.
        let is_zombie = state.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'));
        (!is_zombie).then_some(id)
    }

    fn is_ready(&self) -> bool {
        let status = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        self.postmaster().is_some() && status.lines().nth(7).is_some_and(|word| word.trim() == "ready")
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills the server at once, as a crash does.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill(&self) {
        let postmaster = self.postmaster().expect("a server runs");
        let killed = Command::new("kill").args(["-KILL", &postmaster.to_string()]).status().expect("kill runs");
        assert!(killed.success());
        while self.postmaster().is_some() {
            std::thread::sleep(INTERVAL);
        }
    }

    /// Makes a database, and gives its address: with its password.
    ///
    /// # Panics
    /// When that fails.
    pub async fn new_database(&self) -> String {
        let name = format!("jobs_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.address("postgres")).await.expect("the server answers");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        connection.close().await.expect("the connection ends");
        self.address(&name)
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Writes what is in memory into the files of the server.
    ///
    /// # Panics
    /// When that fails.
    pub async fn checkpoint(&self) {
        let mut connection = PgConnection::connect(&self.address("postgres")).await.expect("the server answers");
        connection.execute("CHECKPOINT").await.expect("a checkpoint");
        connection.close().await.expect("the connection ends");
    }

    /// The files of the server that have these bytes, below the folder `part` of its data: tables are in `base`, its log is in
    /// `pg_wal`; all of them, where it is empty.
    ///
    /// # Panics
    /// When they cannot be searched.
    pub fn files_with(&self, part: &str, bytes: &[u8]) -> String {
        let pattern: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let mut grep = Command::new("grep");
        grep.env("LC_ALL", "C").args(["--recursive", "--files-with-matches", "--text", "--ignore-case", "--perl-regexp"]);
        let found = grep.arg(pattern).arg(self.folder.join("data").join(part)).output().expect("grep runs");
        String::from_utf8_lossy(&found.stdout).into_owned()
    }

    /// How many rows a table of a database has.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub async fn count(&self, database: &str, table: &str) -> i64 {
        let mut connection = PgConnection::connect(database).await.expect("the server answers");
        let query = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
        let count = query.fetch_one(&mut connection).await.expect("a number");
        connection.close().await.expect("the connection ends");
        count
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password in its addresses, which must not be seen anywhere else.
    pub fn password() -> &'static str {
        PASSWORD
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper().take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        // Where the keeper was killed.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the programs of the newest PostgreSQL are that is installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = versions.map(|entry| entry.path().join("bin")).filter(|path| path.join("postgres").exists());
    installed.max_by_key(version)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A program, as an ordinary user, in a folder that this one can read.
fn as_ordinary_user(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
