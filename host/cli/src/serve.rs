//! `homeostat serve`: a host in the foreground of this process, for others to talk to.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_server::{Host, HostConfig, api};
use tokio::sync::oneshot;

use crate::args::{Globals, absolute, duration};
use crate::out;
use crate::signals::Signals;

/// How long requests under way may delay the end of a host.
const FAREWELL: Duration = Duration::from_secs(5);

/// Run a host until SIGTERM or Ctrl-C
///
/// The host keeps the groups that its state directory remembers, and answers on a Unix socket that only this user may
/// use. When it stops, the instances stay as they are; when it starts again, it finds them by their tags. A second signal
/// ends it at once.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat serve
  homeostat serve --state-dir /srv/homeostat --log debug
  homeostat serve --self i-0a1b2c3d")]
pub(crate) struct Serve {
    #[command(flatten)]
    host: HostArgs,
}

/// How a host is to run.
#[derive(Args)]
pub(crate) struct HostArgs {
    /// How many steps of one group run at once [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// The longest time between two looks at a group that is as declared [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    resync: Option<Duration>,
    /// The instance that this host itself runs on, by the provider's id or the logical id: it is destroyed or replaced last
    #[arg(long = "self", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    self_instance: Option<String>,
    /// Swap a plugin when its file changes, as `plugin swap` does: a new version that does not fit is refused
    #[arg(long)]
    watch: bool,
    /// Load plugins that were built against a draft of the contract, too. A draft may change any day, and then they do not
    /// load any more: not for what has to last
    #[arg(long)]
    allow_drafts: bool,
    /// Certificates (PEM) to trust besides the system's where plugins are fetched from URLs and registries
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
}

impl HostArgs {
    /// Open the host of the state directory in this process.
    ///
    /// # Errors
    /// Where another host has it, or it cannot be used.
    pub(crate) async fn open(&self, globals: &Globals) -> Result<Host> {
        let mut config = HostConfig::new(globals.state_dir()?);
        config.parallel = self.parallel.map_or(config.parallel, usize::from);
        config.resync = self.resync.unwrap_or(config.resync);
        config.self_instance.clone_from(&self.self_instance);
        config.swap_changed = self.watch;
        config.drafts = self.allow_drafts;
        config.sources.roots = self.roots.as_deref().map(absolute).transpose()?;
        Ok(Host::open(config).await?)
    }
}

/// The API of a host, while it is served.
pub(crate) struct Served {
    pub(crate) socket: PathBuf,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), api::ServeError>>,
}

impl Served {
    /// Serve the API of this host. Requests are answered when this returns.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub(crate) fn start(host: &Host, globals: &Globals) -> Result<Self> {
        let path = globals.socket()?;
        let socket = api::bind(&path)?;
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // An error says that the sender is gone, which asks for the same.
            let _ = stopped.await;
        };
        let task = tokio::spawn(api::serve(host.clone(), socket, until));
        Ok(Self { socket: path, stop, task })
    }

    /// Ends when the API can be served no longer.
    ///
    /// # Errors
    /// Always, with the reason.
    async fn failed(&mut self) -> Result<()> {
        (&mut self.task).await.context("the API has crashed")??;
        anyhow::bail!("the API has ended by itself")
    }

    /// Stop answering, and stop the host; its instances stay.
    pub(crate) async fn stop(self, host: &Host) {
        // An error says that the API has ended already.
        let _ = self.stop.send(());
        host.shutdown().await;
        let _ = tokio::time::timeout(FAREWELL, self.task).await;
    }
}

/// Let this process open as many files as the system allows it. The usual soft limit of 1,024 is a remnant of `select`; many
/// groups, and guests that open files, come near it.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

impl Serve {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        let mut signals = Signals::take()?;
        raise_file_limit();
        let host = tokio::select! {
            host = self.host.open(globals) => host?,
            _ = signals.next() => return Ok(()),
        };
        let mut served = match Served::start(&host, globals) {
            Ok(served) => served,
            Err(error) => {
                signals.unless_insisted(host.shutdown()).await;
                return Err(error);
            }
        };
        out::print(&format!("ready: listening on {}", served.socket.display()))?;
        let ended = tokio::select! {
            _ = signals.next() => Ok(()),
            failed = served.failed() => failed,
        };
        tracing::info!("stopping; the instances stay");
        signals
            .unless_insisted(async {
                match ended.is_ok() {
                    true => served.stop(&host).await,
                    false => host.shutdown().await,
                }
            })
            .await;
        ended
    }
}
