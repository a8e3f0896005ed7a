//! `homeostat events`: what happened, in its order.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use homeostat_server::event::Event;

use crate::args::Globals;
use crate::client::{Client, segment};
use crate::out;
use crate::render::event;
use crate::signals::Signals;

/// The most events that one request asks for.
const PAGE: u64 = 1000;
/// The longest that one request asks the host to wait for an event.
const WAIT: Duration = Duration::from_secs(20);

/// Show what happened, one line an event
///
/// Events are numbered in their order, with gaps, and the host remembers the newest of them, over a restart too. Without
/// --from, all that it remembers are shown. With -o json, each event is one line of JSON; go on after its `Seq` to miss
/// none.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat events --group web
  homeostat events --from 1042 --follow
  homeostat events -o json | jq -c 'select(.What.Kind == \"StepFailed\")'")]
pub(crate) struct Events {
    /// The number of the first event to show
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// Only those of this group
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Go on with what happens from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many to show at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Events {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        let mut signals = Signals::take()?;
        tokio::select! {
            shown = self.show(globals) => shown,
            // The end that was asked for.
            _ = signals.next() => Ok(()),
        }
    }

    async fn show(&self, globals: &Globals) -> Result<()> {
        let host = Client::new(globals)?;
        let mut next = self.from.unwrap_or(1);
        let mut left = self.limit.unwrap_or(u64::MAX);
        // What is there is shown at once; only then is it waited for more.
        let mut wait = Duration::ZERO;
        while left > 0 {
            let path = path(next, self.group.as_deref(), left.min(PAGE), wait);
            let events: Vec<Event> = host.get_within(&path, wait).await?;
            let Some(last) = events.last() else {
                if !self.follow {
                    return Ok(());
                }
                wait = WAIT;
                continue;
            };
            // A host whose state was deleted counts from 1 again; going backwards would show things twice.
            next = last.seq.max(next).saturating_add(1);
            left = left.saturating_sub(events.len() as u64);
            if !out::offer(&lines(&events, globals.json())?)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn path(from: u64, group: Option<&str>, limit: u64, wait: Duration) -> String {
    let mut path = format!("/v1/events?from={from}&limit={limit}");
    if let Some(group) = group {
        path.push_str(&format!("&group={}", segment(group)));
    }
    if !wait.is_zero() {
        path.push_str(&format!("&wait_ms={}", wait.as_millis()));
    }
    path
}

fn lines(events: &[Event], json: bool) -> Result<String> {
    let line = |it: &Event| match json {
        true => serde_json::to_string(it).context("the event cannot be written as JSON"),
        false => Ok(event::line(it)),
    };
    Ok(events.iter().map(line).collect::<Result<Vec<_>>>()?.join("\n"))
}

#[cfg(test)]
mod tests {
    use homeostat_core::time::Timestamp;
    use homeostat_server::event::What;

    use super::*;

    #[test]
    fn a_request_names_what_it_wants() {
        assert_eq!(path(1, None, 1000, Duration::ZERO), "/v1/events?from=1&limit=1000");
        let path = path(7, Some("a&b"), 5, Duration::from_secs(20));
        assert_eq!(path, "/v1/events?from=7&limit=5&group=a%26b&wait_ms=20000");
    }

    #[test]
    fn as_json_an_event_is_one_line() {
        let event = |seq| Event { seq, at: Timestamp(0), group: Some("web".into()), what: What::Gone };
        let text = lines(&[event(1), event(2)], true).unwrap();
        let read: Vec<Event> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(read, [event(1), event(2)]);
    }
}
