//! A real OCI registry on loopback: a process of `docker-registry`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tempfile::TempDir;

use crate::LONG;

/// A registry that is ended when this is dropped.
pub struct Registry {
    process: Child,
    address: String,
    _dir: TempDir,
}

impl Registry {
    /// Start one on a free port. None, with the reason printed, where there is no program to start.
    ///
    /// # Panics
    /// Where it does not come to listen.
    pub fn start(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            dir.path().join("storage").display()
        );
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new("docker-registry");
        command.args(["serve".as_ref(), config.as_os_str()]).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: {test}: there is no docker-registry; `make registry` installs it");
                return None;
            }
            Err(error) => panic!("docker-registry: {error}"),
        };
        // It says where it listens, and goes on to talk: somebody has to read that.
        let (said, heard) = mpsc::channel();
        let lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let found = line.split("listening on ").nth(1).and_then(|it| it.split([',', '"', ' ']).next());
                if let Some(address) = found {
                    let _ = said.send(address.to_owned());
                }
            }
        });
        let mut registry = Self { process, address: String::new(), _dir: dir };
        registry.address = heard.recv_timeout(LONG).expect("docker-registry says where it listens");
        Some(registry)
    }

    /// A reference to something in it.
    pub fn oci(&self, path: &str) -> String {
        format!("oci://{}/{path}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
