//! Programs of this machine that a plugin was granted: what its calls may ask of `homeostat-process`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use homeostat_core::grant::DirGrant;
use homeostat_core::outcome::{ErrorCode, PluginError, chain};
use homeostat_process::{Command, ExecError, Process, Processes, Resource, Retention, Signal};

use crate::grant::Access;
use crate::state::CallState;

/// What a guest asks to have started.
pub(crate) struct Request {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// As the guest calls it.
    pub(crate) directory: Option<String>,
    pub(crate) limits: BTreeMap<Resource, u64>,
    pub(crate) stop_timeout: Duration,
}

/// What a guest asks of its processes.
pub(crate) struct Supervised {
    processes: Processes,
    plugin: String,
    access: Access,
}

impl CallState {
    /// The processes of this plugin, where it is granted any program.
    ///
    /// # Errors
    /// `PermissionDenied` where it is not, with a line for the operator; `Unimplemented` where the host keeps no processes.
    pub(crate) fn supervised(&self) -> Result<Supervised, PluginError> {
        self.not_describing()?;
        let authority = &self.authority;
        if authority.effective().exec.is_empty() {
            return Err(error(ErrorCode::PermissionDenied, authority.no_program()));
        }
        let processes = authority.processes().cloned();
        let none = || error(ErrorCode::Unimplemented, "this host starts no programs");
        let plugin = authority.plugin().to_owned();
        Ok(Supervised { processes: processes.ok_or_else(none)?, plugin, access: self.access })
    }

    /// What is to be started, where that is granted. To be asked before [`Self::supervised`], which knows less of what is
    /// wanted, and so tells the operator less.
    ///
    /// # Errors
    /// `PermissionDenied`, with one line for the operator; `InvalidArgument`.
    pub(crate) fn command(&self, asked: Request) -> Result<Command, PluginError> {
        self.not_describing()?;
        let Request { program, args, env, directory, limits, stop_timeout } = asked;
        let granted = self
            .authority
            .judge_exec(&program, &args, &env)
            .map_err(|reason| error(ErrorCode::PermissionDenied, &reason))?;
        let directory = directory.map(|guest| self.directory(&guest)).transpose()?;
        let retention = Retention::default();
        Ok(Command { path: granted.path.clone(), program, args, env, directory, limits, stop_timeout, retention })
    }

    fn not_describing(&self) -> Result<(), PluginError> {
        match self.access {
            Access::Nothing => {
                Err(error(ErrorCode::PermissionDenied, "nothing is granted while the plugin describes itself"))
            }
            Access::ReadOnly | Access::Granted => Ok(()),
        }
    }

    /// The directory of the host that the guest calls so.
    fn directory(&self, guest: &str) -> Result<PathBuf, PluginError> {
        let dirs = &self.authority.effective().dirs;
        let found = dirs.iter().filter_map(|dir| below(dir, guest)).next();
        found.ok_or_else(|| {
            let message = format!("{guest:?} is in no directory that the plugin was granted");
            error(ErrorCode::PermissionDenied, &message)
        })
    }
}

/// A path of the guest's in a granted directory, on the host. What could leave it is none.
fn below(dir: &DirGrant, guest: &str) -> Option<PathBuf> {
    let rest = Path::new(guest).strip_prefix(&dir.guest).ok()?;
    let plain = rest.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let host = dir.host.canonicalize().ok()?;
    // A symbolic link in it may lead anywhere.
    let found = host.join(rest).canonicalize().ok()?;
    (plain && found.starts_with(&host)).then_some(found)
}

impl Supervised {
    pub(crate) async fn start(self, key: String, command: Command, note: String) -> Result<Process, PluginError> {
        self.changes()?;
        self.run(move |it| it.processes.start(&it.plugin, &key, &command, &note)).await
    }

    pub(crate) async fn find(self, key: String) -> Result<Option<Process>, PluginError> {
        self.run(move |it| it.processes.find(&it.plugin, &key)).await
    }

    pub(crate) async fn list(self, after: Option<String>, limit: u32) -> Result<Vec<Process>, PluginError> {
        self.run(move |it| it.processes.list(&it.plugin, after.as_deref(), limit as usize)).await
    }

    pub(crate) async fn annotate(self, key: String, note: String) -> Result<(), PluginError> {
        self.changes()?;
        self.run(move |it| it.processes.annotate(&it.plugin, &key, &note)).await
    }

    pub(crate) async fn signal(self, key: String, signal: Signal) -> Result<(), PluginError> {
        self.changes()?;
        self.run(move |it| it.processes.signal(&it.plugin, &key, signal)).await
    }

    pub(crate) async fn stop(self, key: String) -> Result<(), PluginError> {
        self.changes()?;
        self.run(move |it| it.processes.stop(&it.plugin, &key)).await
    }

    pub(crate) async fn output(self, key: String, limit: u32) -> Result<String, PluginError> {
        self.run(move |it| it.processes.output(&it.plugin, &key, limit)).await
    }

    /// Where the host only pretends, nothing is started, changed or ended.
    fn changes(&self) -> Result<(), PluginError> {
        match self.access {
            Access::Granted => Ok(()),
            Access::Nothing | Access::ReadOnly => {
                Err(error(ErrorCode::PermissionDenied, "the host only pretends, and nothing may change now"))
            }
        }
    }

    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> Result<T, ExecError> + Send + 'static,
    ) -> Result<T, PluginError> {
        match tokio::task::spawn_blocking(move || work(&self)).await {
            Ok(answer) => answer.map_err(|failed| told(&failed)),
            Err(stopped) => Err(error(ErrorCode::Internal, &format!("the host did not finish: {stopped}"))),
        }
    }
}

/// What the guest is told. Each variant documents its code.
fn told(failed: &ExecError) -> PluginError {
    let code = match failed {
        ExecError::Invalid(_) => ErrorCode::InvalidArgument,
        ExecError::NotFound { .. } => ErrorCode::NotFound,
        ExecError::AlreadyExists { .. } => ErrorCode::AlreadyExists,
        ExecError::TooMany { .. } => ErrorCode::ResourceExhausted,
        ExecError::Program { .. } | ExecError::NotStarted { .. } | ExecError::Io { .. } => ErrorCode::Unavailable,
        ExecError::Busy { .. } => ErrorCode::Aborted,
        _ => ErrorCode::Internal,
    };
    error(code, &chain(failed))
}

fn error(code: ErrorCode, message: &str) -> PluginError {
    PluginError { code, message: message.to_owned(), path: None, retry_after: None }
}

#[cfg(test)]
mod tests {
    use homeostat_core::grant::DirMode;

    use super::*;

    #[test]
    fn a_directory_is_found_by_the_guests_name_and_never_left() {
        let root = tempfile::tempdir().expect("a directory");
        let host = root.path().join("granted");
        std::fs::create_dir_all(host.join("inner")).expect("a directory");
        std::os::unix::fs::symlink("/", host.join("out")).expect("a link");
        let grant = DirGrant { host: host.clone(), guest: "/data".into(), mode: DirMode::ReadWrite };
        let host = host.canonicalize().expect("is there");
        assert_eq!(below(&grant, "/data"), Some(host.clone()));
        assert_eq!(below(&grant, "/data/inner"), Some(host.join("inner")));
        for wrong in ["/", "/data2", "/data/../..", "/data/none", "/data/out", "data", "/data/inner/../../x"] {
            assert_eq!(below(&grant, wrong), None, "{wrong}");
        }
    }
}
