//! What the system limits a process to.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::process::Child;

use rustix::process::{Pid, Resource as Raw, Rlimit, getrlimit, prlimit, setrlimit};

use crate::command::Resource;

/// Limits that the host's own allow.
pub(super) struct Limits(Vec<(Raw, u64)>);

impl Limits {
    pub(super) fn new(wanted: &BTreeMap<Resource, u64>) -> io::Result<Self> {
        let mut limits = Vec::new();
        for (&resource, &value) in wanted {
            let raw = raw(resource);
            if let Some(most) = getrlimit(raw).maximum.filter(|&most| value > most) {
                let what = format!("its limit {resource:?} of {value} is above the host's own, which is {most}");
                return Err(io::Error::new(ErrorKind::InvalidInput, what));
            }
            limits.push((raw, value));
        }
        Ok(Self(limits))
    }

    /// Start a process with these limits.
    ///
    /// A program may ask for its limits as soon as it runs, so they are the supervisor's own for a moment, but only as far
    /// as it can take them back; the rest follows as soon as there is a process. Space is limited afterwards alone: the
    /// supervisor could not start anything within it.
    pub(super) fn around(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
        let early = || self.0.iter().filter(|(raw, _)| *raw != Raw::As);
        let before: Vec<(Raw, Rlimit)> = early().map(|&(raw, _)| (raw, getrlimit(raw))).collect();
        for &(raw, value) in early() {
            setrlimit(raw, Rlimit { current: Some(value), maximum: getrlimit(raw).maximum })?;
        }
        let spawned = spawn();
        for (raw, limit) in before {
            setrlimit(raw, limit)?;
        }
        let mut child = spawned?;
        let pid = Pid::from_child(&child);
        for &(raw, value) in &self.0 {
            if let Err(error) = prlimit(Some(pid), raw, Rlimit { current: Some(value), maximum: Some(value) }) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error.into());
            }
        }
        Ok(child)
    }
}

fn raw(resource: Resource) -> Raw {
    match resource {
        Resource::AddressSpace => Raw::As,
        Resource::OpenFiles => Raw::Nofile,
        Resource::CpuSeconds => Raw::Cpu,
        Resource::FileSize => Raw::Fsize,
        Resource::CoreSize => Raw::Core,
    }
}
