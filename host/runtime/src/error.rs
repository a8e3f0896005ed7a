//! What can go wrong: with the runtime itself, with loading a plugin, with calling one.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use homeostat_core::bytes;
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::spec::PluginSource;
use thiserror::Error;

/// The runtime cannot start.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The cache holds machine code, so nobody else may be able to write it.
    #[error("the code cache {path} is not safe: {reason}; `chmod 700` it, or choose another directory", path = path.display())]
    UnsafeCache {
        /// The cache directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The Wasm engine refused its settings.
    #[error("the Wasm engine cannot start on this machine: {0}")]
    Engine(String),
    /// The directory of the processes that plugins start cannot be used.
    #[error("the processes of plugins cannot be kept")]
    Processes(#[source] homeostat_process::ExecError),
    /// The operating system gave no threads.
    #[error("cannot start the threads of the guests")]
    Threads(#[source] io::Error),
}

/// A plugin could not be loaded. Nothing of it runs.
#[derive(Debug)]
pub struct LoadError {
    /// The name it was to be registered as.
    pub plugin: String,
    /// Where its file comes from.
    pub source: PluginSource,
    /// Which stage refused it, and why.
    pub kind: Box<LoadErrorKind>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot load plugin {:?} from {}: {}", self.plugin, self.source, self.kind)
    }
}

impl std::error::Error for LoadError {
    /// What caused the kind: the kind itself is a part of the message.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// The stage of loading that refused a plugin, and why.
#[derive(Debug, Error)]
pub enum LoadErrorKind {
    /// Its file is elsewhere.
    #[error("its file has to be fetched first")]
    NotFetched,
    /// There is no such file.
    #[error("there is no such file; build the plugin, or mend its Path")]
    NoFile,
    /// It is there and is no file.
    #[error("it is {0}, not a file; give the path of the .wasm file")]
    NotAFile(&'static str),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It has no bytes.
    #[error("the file is empty; a copy or a build was cut short: copy or build it again")]
    Empty,
    /// It is larger than any plugin should be.
    #[error("it has {size}, and a plugin may have {limit}; build it in release mode, and strip it", size = bytes::format(*.size), limit = bytes::format(*.limit))]
    TooBig {
        /// Its size in bytes.
        size: u64,
        /// The most that is allowed, in bytes.
        limit: u64,
    },
    /// It is something else.
    #[error("this is not WebAssembly but {looks_like}")]
    NotWasm {
        /// What it looks like, and what to do about it.
        looks_like: String,
    },
    /// The file ends too early.
    #[error("the file is cut off after {size} bytes; copy or build it again")]
    Truncated {
        /// Its size in bytes.
        size: u64,
    },
    /// It is WebAssembly that breaks the format.
    #[error("this is not valid WebAssembly (at byte {offset}: {reason}); copy or build it again")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It is a module, not a component.
    #[error(
        "this is a core module, and a plugin is a component; build it with `--target wasm32-wasip2`, or turn it into one with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// It is a component of another kind.
    #[error(
        "this component is no homeostat plugin: it exports {exports}; a plugin exports homeostat:plugin/meta and either \
         homeostat:plugin/instance (world instance-plugin) or homeostat:plugin/flavor (world flavor-plugin), in version {served}"
    )]
    NoWorld {
        /// What it exports.
        exports: String,
        /// The versions served.
        served: String,
    },
    /// It was built against a version of the contract that this host does not serve.
    #[error(
        "it was built against homeostat:plugin@{found}, which this host does not know; it serves {served}: build the plugin \
         against the `wit/` folder of a version served, or use a host that serves {found}"
    )]
    OtherVersion {
        /// The plugin's version.
        found: String,
        /// The versions served.
        served: String,
    },
    /// It was built against a draft of the contract, and this host was not told to load such plugins.
    #[error(
        "it was built against homeostat:plugin@{found}, a draft that may change any day, and this host serves {served}: build \
         the plugin against the `wit/` folder of a version served, or, to try the draft, start the host with --allow-drafts"
    )]
    Draft {
        /// The plugin's version.
        found: String,
        /// The versions served.
        served: String,
    },
    /// It is both kinds at once.
    #[error(
        "it exports both homeostat:plugin/instance and homeostat:plugin/flavor, and a plugin is one or the other; build two \
         components, one of world instance-plugin and one of world flavor-plugin"
    )]
    BothWorlds,
    /// An interface lacks a function, or a function has another type.
    #[error(
        "its exports are not those of world {world}: {detail}; build it against the `wit/` folder of homeostat:plugin@{version}"
    )]
    WrongExport {
        /// The world it seems to be of.
        world: &'static str,
        /// The version of the contract that it names.
        version: String,
        /// What is missing or different.
        detail: String,
    },
    /// It wants something that the host does not give.
    #[error("it imports {import}, which this host does not give: {hint}")]
    MissingImport {
        /// The import.
        import: String,
        /// What to do.
        hint: String,
        /// What the linker said.
        detail: String,
    },
    /// The compiler refused it.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// The compiler took too long.
    #[error("it did not compile within {limit:?}; strip it, or build it with optimisations for size")]
    CompileDeadline {
        /// The limit.
        limit: Duration,
    },
    /// It has two manifests.
    #[error("it holds {count} manifests that differ; build it with one")]
    Manifests {
        /// How many.
        count: usize,
    },
    /// Its manifest cannot be read.
    #[error("its manifest ({place}) cannot be used: {reason}")]
    Manifest {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not the file that was asked for.
    #[error("its SHA-256 is {found}, and {wanted} is asked for; somebody changed the file, or the pin is out of date")]
    Digest {
        /// The digest of the file.
        found: String,
        /// The digest that it must have.
        wanted: String,
    },
    /// A grant names a directory that cannot be given.
    #[error("{0}")]
    Grant(String),
    /// It could not be instantiated.
    #[error("it links and does not start: {0}; build it against the `wit/` folder of the version it names")]
    Instantiate(String),
    /// It did not say what it is.
    #[error("it did not describe itself")]
    Describe(#[source] CallError),
    /// It took too long to say what it is.
    #[error("its describe-plugin gave no answer within {limit:?}; it must answer without work, and wait for nothing")]
    DescribeDeadline {
        /// The limit.
        limit: Duration,
    },
    /// What it says of itself breaks the contract.
    #[error("its describe-plugin breaks the contract: {0}")]
    Description(String),
    /// A fault of the host's own.
    #[error("the host failed while it loaded it ({0}); this is a fault of homeostat: please report it with the file")]
    Internal(String),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopped,
}

/// A call of a plugin did not give an answer that can be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("plugin {plugin:?}, {function}: {kind}")]
pub struct CallError {
    /// The name the plugin is registered as.
    pub plugin: String,
    /// The function that was called.
    pub function: &'static str,
    /// What happened.
    pub kind: CallErrorKind,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CallErrorKind {
    /// The plugin said so itself.
    #[error("{0}")]
    Plugin(PluginError),
    /// It took longer than `Limits.Wall`.
    #[error("no answer within {}; raise Limits.Wall if the work takes so long", homeostat_core::duration::format(*.limit))]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// It computed longer than `Limits.CPU`.
    #[error("it computed for more than {}; raise Limits.CPU if the work takes so much", homeostat_core::duration::format(*.limit))]
    CpuBudget {
        /// The limit.
        limit: Duration,
    },
    /// It wanted more than `Limits.Memory`.
    #[error("it needs more memory than {}; raise Limits.Memory if the work takes so much", bytes::format(*.limit))]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// It crashed.
    #[error("it crashed: {message}{}", shown(.stderr))]
    Trap {
        /// What the sandbox saw.
        message: String,
        /// What the guest wrote to standard error: the first and the last 8 KiB. A panic's message is here.
        stderr: String,
    },
    /// Its answer breaks the contract.
    #[error("its answer breaks the contract: {0}")]
    Nonsense(String),
    /// What it was granted is not there (any more). The guest was not started.
    #[error("{0}")]
    Grant(String),
    /// It crashed so often that it is left alone for a while. The guest was not started.
    // How long still is not in the text: each look would make another text of it, and another event.
    #[error("it crashed too often and is left alone for a while; last: {reason}")]
    Degraded {
        /// When a call is worth trying again.
        retry_after: Duration,
        /// How the last call ended.
        reason: String,
    },
    /// The host is stopping. The guest was not started, or was stopped in the middle.
    #[error("the host is stopping")]
    Stopped,
}

/// Standard error as a part of a message: the last line that says something.
fn shown(stderr: &str) -> String {
    let line = stderr.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("note: "));
    line.map(|line| format!(" ({})", line.chars().filter(|c| !c.is_control()).take(400).collect::<String>()))
        .unwrap_or_default()
}

impl LoadErrorKind {
    /// Whether the file that was wanted is not there, or another one is.
    pub fn is_another_file(&self) -> bool {
        matches!(
            self,
            Self::NoFile | Self::NotAFile(_) | Self::Unreadable(_) | Self::TooBig { .. } | Self::Digest { .. }
        )
    }
}

impl CallErrorKind {
    /// Whether the sandbox had to end the guest: it crashed, or reached a limit.
    pub fn is_trap(&self) -> bool {
        match self {
            Self::Trap { .. } | Self::Timeout { .. } | Self::CpuBudget { .. } | Self::Memory { .. } => true,
            Self::Plugin(_) | Self::Nonsense(_) | Self::Grant(_) | Self::Degraded { .. } | Self::Stopped => false,
        }
    }
}

impl CallError {
    /// The plugin's own error, where that is what happened.
    pub fn plugin_error(&self) -> Option<&PluginError> {
        match &self.kind {
            CallErrorKind::Plugin(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the call may have had its effect all the same. True for what was cut off in the middle, for an answer that
    /// makes no sense, and for the plugin's own `internal`; of use for calls that have an effect.
    pub fn effect_unknown(&self) -> bool {
        match &self.kind {
            CallErrorKind::Plugin(error) => error.code == ErrorCode::Internal,
            CallErrorKind::Grant(_) | CallErrorKind::Degraded { .. } => false,
            CallErrorKind::Timeout { .. }
            | CallErrorKind::CpuBudget { .. }
            | CallErrorKind::Memory { .. }
            | CallErrorKind::Trap { .. }
            | CallErrorKind::Nonsense(_)
            | CallErrorKind::Stopped => true,
        }
    }
}
