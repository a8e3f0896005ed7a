//! `homeostat up`: a host that keeps one stack in the foreground.

mod live;
mod picture;
mod plain;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use homeostat_server::event::{Event, What};
use homeostat_server::view::{CommitReply, CommitRequest};
use homeostat_server::{Host, HostError, Until};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::args::{Globals, duration, on_a_terminal};
use crate::failure::{Refused, from_host};
use crate::render::{count, tame};
use crate::serve::{HostArgs, Served};
use crate::signals::Signals;
use crate::{group, input, out, screen};
use picture::Camera;

/// How often the picture is renewed, and lines that were held back are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Keep a stack in the foreground, and show what happens
///
/// The host and its groups run in this process until Ctrl-C, which leaves the instances as they are; the same command
/// finds them again by their tags. While it runs, the other verbs (`homeostat group ls`) can be used from another
/// terminal. With -o json, each event is printed as one line of JSON.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat up stack.json
  homeostat up stack.json --until-converged --timeout 2m
  homeostat up stack.json --destroy")]
pub(crate) struct Up {
    /// The stack: plugins and groups, JSON or YAML; - for standard input
    #[arg(value_name = "STACK")]
    stack: PathBuf,
    /// Destroy the stack's groups at the end, and wait until they are gone
    #[arg(long)]
    destroy: bool,
    /// End as soon as all groups of the stack are as declared
    #[arg(long)]
    until_converged: bool,
    /// The longest time to wait for --until-converged, and again for --destroy
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    timeout: Duration,
    #[command(flatten)]
    host: HostArgs,
}

/// Why watching the groups came to an end.
enum End {
    /// What was waited for has come.
    Reached,
    /// It has not, in time.
    Late,
    /// A signal asked for the end.
    Signal,
}

impl Up {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        let input::Spec { name, base_dir, text } = input::spec(&self.stack)?;
        let request = CommitRequest { name, base_dir, text, pretend: false, convert: false };
        let mut signals = Signals::take()?;
        let opened = tokio::select! {
            opened = self.open(globals, &request) => opened?,
            _ = signals.next() => return Err(Refused("stopped before the stack was committed".into()).into()),
        };
        let Opened { host, served, events, reply } = opened;
        let result = self.keep(globals, &host, &reply, events, &mut signals).await;
        signals.unless_insisted(served.stop(&host)).await;
        result
    }

    /// Open the host, and commit the stack.
    async fn open(&self, globals: &Globals, request: &CommitRequest) -> Result<Opened> {
        let state_dir = globals.state_dir()?;
        let host =
            self.host.open(globals).await.with_context(|| format!("no host can run on {}", state_dir.display()))?;
        let events = host.subscribe();
        let started = match host.commit(request).await {
            Ok(reply) => Served::start(&host, globals).map(|served| (reply, served)),
            Err(error) => Err(from_host(error)),
        };
        match started {
            Ok((reply, served)) => Ok(Opened { host, served, events, reply }),
            Err(error) => {
                host.shutdown().await;
                Err(error)
            }
        }
    }

    async fn keep(
        &self,
        globals: &Globals,
        host: &Host,
        reply: &CommitReply,
        events: broadcast::Receiver<Event>,
        signals: &mut Signals,
    ) -> Result<()> {
        let ids: Vec<String> = reply.groups.iter().map(|it| it.id.clone()).collect();
        let mut view = View::new(globals, host, ids.clone(), events);
        view.say(&group::lines(reply, false))?;
        view.catch_up()?;
        let others: Vec<String> = host.groups().into_iter().map(|it| it.id).filter(|id| !ids.contains(id)).collect();
        if !others.is_empty() {
            view.say(&format!("Also kept, because this state directory remembers them: {}", others.join(", ")))?;
        }
        let ended = if self.until_converged {
            view.until(wait_all(host, &ids, Until::Converged, self.timeout), signals).await?
        } else {
            view.until(std::future::pending(), signals).await?
        };
        view.pause()?;
        // What the command is to answer, unless destroying goes wrong.
        let verdict = match ended {
            End::Late => Err(Refused(not_converged(host, &ids, self.timeout)).into()),
            End::Signal if self.until_converged => Err(Refused("stopped before the stack was converged".into()).into()),
            End::Signal | End::Reached => Ok(()),
        };
        if self.destroy {
            self.destroy(host, &ids, &mut view, signals).await?;
        } else {
            self.farewell(globals, host, &ids, &view)?;
        }
        verdict
    }

    /// Destroy the groups, and wait until they are gone.
    async fn destroy(&self, host: &Host, ids: &[String], view: &mut View<'_>, signals: &mut Signals) -> Result<()> {
        view.say(&format!("Destroying {}; Ctrl-C leaves what is left", ids.join(", ")))?;
        for id in ids {
            match host.destroy(id).await {
                Ok(()) | Err(HostError::NoGroup { .. }) => {}
                Err(error) => return Err(from_host(error)),
            }
        }
        let ended = view.until(wait_all(host, ids, Until::Gone, self.timeout), signals).await?;
        view.pause()?;
        let left: Vec<_> = ids.iter().filter_map(|id| host.describe(id).ok()).collect();
        match ended {
            End::Reached => view.say(&format!("Destroyed {}", ids.join(", "))),
            End::Late | End::Signal if left.is_empty() => view.say(&format!("Destroyed {}", ids.join(", "))),
            End::Late | End::Signal => {
                let remembered = "the next host on this state directory goes on destroying them";
                let left: Vec<String> = left.iter().map(|it| group::left(it, None)).collect();
                Err(Refused(format!("{}\n{remembered}", left.join("\n"))).into())
            }
        }
    }

    /// Say what stays, and how to go on with it.
    fn farewell(&self, globals: &Globals, host: &Host, ids: &[String], view: &View<'_>) -> Result<()> {
        let kept = host.groups();
        let stay: Vec<String> = kept
            .iter()
            .filter(|it| ids.contains(&it.id))
            .map(|it| format!("{} ({})", it.id, count(it.report.counts.actual, "instance")))
            .collect();
        if stay.is_empty() {
            return view.say("Stopped; none of the stack's groups is left");
        }
        let again = match self.stack.as_path() {
            stdin if stdin == Path::new("-") => globals.serve_command(),
            stack => globals.serve_command().replacen("serve", &format!("up {}", stack.display()), 1),
        };
        view.say(&format!("Stopped; the instances stay: {}\nTo pick them up again: {again}", stay.join(", ")))
    }
}

/// A host that keeps a stack.
struct Opened {
    host: Host,
    served: Served,
    events: broadcast::Receiver<Event>,
    reply: CommitReply,
}

/// Wait for all groups. Answers whether all came to be so in time.
async fn wait_all(host: &Host, ids: &[String], until: Until, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    for id in ids {
        match host.wait(id, until, deadline.saturating_duration_since(Instant::now())).await {
            Ok(()) => {}
            Err(HostError::TimedOut(_)) => return Ok(false),
            Err(error) => return Err(from_host(error)),
        }
    }
    Ok(true)
}

fn not_converged(host: &Host, ids: &[String], timeout: Duration) -> String {
    let late: Vec<String> = host
        .groups()
        .iter()
        .filter(|it| ids.contains(&it.id) && !it.report.converged)
        .map(|it| format!("\n  {}: {}", it.id, tame(&it.status)))
        .collect();
    let time = homeostat_core::duration::format(timeout);
    format!("{} not converged within {time}{}", count(late.len(), "group"), late.concat())
}

/// How what happens is shown.
enum Mode {
    /// A picture that is drawn over and over.
    Live(Camera),
    /// Lines.
    Plain(plain::Lines),
    /// Events as JSON.
    Json,
}

/// What the person at the terminal sees.
struct View<'a> {
    host: &'a Host,
    ids: Vec<String>,
    events: broadcast::Receiver<Event>,
    mode: Mode,
}

impl<'a> View<'a> {
    fn new(globals: &Globals, host: &'a Host, ids: Vec<String>, events: broadcast::Receiver<Event>) -> Self {
        let mode = match (globals.json(), on_a_terminal()) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Live(Camera::default()),
            (false, false) => Mode::Plain(plain::Lines::new(Instant::now())),
        };
        Self { host, ids, events, mode }
    }

    /// Tell the person something that is no event. No picture may stand.
    fn say(&self, text: &str) -> Result<()> {
        match &self.mode {
            _ if text.is_empty() => Ok(()),
            Mode::Json => Ok(()),
            Mode::Live(_) | Mode::Plain(_) => out::print(text),
        }
    }

    /// Show what happened before the commit was answered, but for the commit itself, which has been told.
    fn catch_up(&mut self) -> Result<()> {
        while let Ok(event) = self.events.try_recv() {
            let is_told = matches!(event.what, What::Committed { .. } | What::PluginLoaded { .. });
            if !is_told || matches!(self.mode, Mode::Json) {
                self.event(&event)?;
            }
        }
        Ok(())
    }

    /// Show how things are, and draw no more.
    fn pause(&mut self) -> Result<()> {
        // What led here is still to be told.
        while let Ok(event) = self.events.try_recv() {
            self.event(&event)?;
        }
        self.tick()?;
        match &mut self.mode {
            Mode::Live(_) => screen::leave(),
            Mode::Plain(lines) => tell(&lines.flush())?,
            Mode::Json => {}
        }
        Ok(())
    }

    /// Show what happens until something has come to pass, or a signal comes.
    async fn until(&mut self, reached: impl Future<Output = Result<bool>>, signals: &mut Signals) -> Result<End> {
        let mut reached = std::pin::pin!(reached);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                reached = &mut reached => return Ok(if reached? { End::Reached } else { End::Late }),
                _ = signals.next() => return Ok(End::Signal),
                _ = tick.tick() => self.tick()?,
                event = self.events.recv() => match event {
                    Ok(event) => self.event(&event)?,
                    Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "events came faster than they could be shown"),
                    // The host holds the other end as long as it lives.
                    Err(RecvError::Closed) => anyhow::bail!("the host has ended by itself"),
                },
            }
        }
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        match &mut self.mode {
            Mode::Live(camera) => {
                camera.event(event);
                Ok(())
            }
            Mode::Plain(lines) => tell(&lines.event(event)),
            Mode::Json => out::print(&serde_json::to_string(event).context("the event cannot be written as JSON")?),
        }
    }

    fn tick(&mut self) -> Result<()> {
        match &mut self.mode {
            Mode::Live(camera) => live::draw(&camera.take(self.host, &self.ids)),
            Mode::Plain(lines) => tell(&lines.tick(Instant::now()))?,
            Mode::Json => {}
        }
        Ok(())
    }
}

fn tell(lines: &[String]) -> Result<()> {
    if lines.is_empty() { Ok(()) } else { out::print(&lines.join("\n")) }
}
