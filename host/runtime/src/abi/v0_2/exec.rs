//! The interface `exec` of this version.

use std::collections::BTreeMap;
use std::time::Duration;

use homeostat_process::{Process, ProcessState, Resource, Signal};

use super::imports::said;
use super::instance_world::homeostat::plugin::exec;
use super::instance_world::homeostat::plugin::types as wit;
use crate::exec::Request;
use crate::state::CallState;

impl exec::Host for CallState {
    async fn start(&mut self, key: String, command: exec::Command, note: String) -> Result<exec::Process, wit::Error> {
        let command = self.command(request(command)?).map_err(said)?;
        let supervised = self.supervised().map_err(said)?;
        supervised.start(key, command, note).await.map(process).map_err(said)
    }

    async fn find(&mut self, key: String) -> Result<Option<exec::Process>, wit::Error> {
        let supervised = self.supervised().map_err(said)?;
        supervised.find(key).await.map(|it| it.map(process)).map_err(said)
    }

    async fn list(&mut self, after: Option<String>, limit: u32) -> Result<Vec<exec::Process>, wit::Error> {
        let supervised = self.supervised().map_err(said)?;
        let found = supervised.list(after, limit).await.map_err(said)?;
        Ok(found.into_iter().map(process).collect())
    }

    async fn annotate(&mut self, key: String, note: String) -> Result<(), wit::Error> {
        let supervised = self.supervised().map_err(said)?;
        supervised.annotate(key, note).await.map_err(said)
    }

    async fn send_signal(&mut self, key: String, signal: exec::Signal) -> Result<(), wit::Error> {
        let signal = match signal {
            exec::Signal::Hangup => Signal::Hangup,
            exec::Signal::Interrupt => Signal::Interrupt,
            exec::Signal::Quit => Signal::Quit,
            exec::Signal::User1 => Signal::User1,
            exec::Signal::User2 => Signal::User2,
            exec::Signal::Terminate => Signal::Terminate,
            exec::Signal::Kill => Signal::Kill,
        };
        let supervised = self.supervised().map_err(said)?;
        supervised.signal(key, signal).await.map_err(said)
    }

    async fn stop(&mut self, key: String) -> Result<(), wit::Error> {
        let supervised = self.supervised().map_err(said)?;
        supervised.stop(key).await.map_err(said)
    }

    async fn output(&mut self, key: String, limit: u32) -> Result<String, wit::Error> {
        let supervised = self.supervised().map_err(said)?;
        supervised.output(key, limit).await.map_err(said)
    }
}

fn request(command: exec::Command) -> Result<Request, wit::Error> {
    let twice = |what: &str| wit::Error {
        code: wit::ErrorCode::InvalidArgument,
        message: format!("{what} is given twice"),
        path: None,
        retry_after_ms: None,
        details: None,
    };
    let mut env = BTreeMap::new();
    for (name, value) in command.env {
        if env.insert(name.clone(), value).is_some() {
            return Err(twice(&format!("the variable {name:?}")));
        }
    }
    let mut limits = BTreeMap::new();
    for (kind, most) in command.limits {
        let resource = match kind {
            exec::LimitKind::AddressSpace => Resource::AddressSpace,
            exec::LimitKind::OpenFiles => Resource::OpenFiles,
            exec::LimitKind::CpuSeconds => Resource::CpuSeconds,
            exec::LimitKind::FileSize => Resource::FileSize,
            exec::LimitKind::CoreSize => Resource::CoreSize,
        };
        if limits.insert(resource, most).is_some() {
            return Err(twice(&format!("the limit {kind:?}")));
        }
    }
    Ok(Request {
        program: command.program,
        args: command.args,
        env,
        directory: command.directory,
        limits,
        stop_timeout: Duration::from_millis(command.stop_timeout_ms.into()),
    })
}

fn process(it: Process) -> exec::Process {
    exec::Process {
        key: it.key,
        pid: it.pid,
        state: match it.state {
            ProcessState::Running => exec::ProcessState::Running,
            ProcessState::Stopping => exec::ProcessState::Stopping,
            ProcessState::Exited(status) => exec::ProcessState::Exited(status),
            ProcessState::Signalled(signal) => exec::ProcessState::Signalled(signal),
            ProcessState::Lost(why) => exec::ProcessState::Lost(why),
        },
        started_at_ms: it.started_at_ms,
        ended_at_ms: it.ended_at_ms,
        note: it.note,
    }
}
