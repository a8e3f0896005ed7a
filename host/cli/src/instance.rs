//! `homeostat instance`: an instance plugin called by hand.

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use homeostat_core::observed::{Finding, Instance};
use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::{Attachment, InstanceSpec};
use homeostat_server::call::Call;

use crate::args::Globals;
use crate::direct::Target;
use crate::failure::Refused;
use crate::render::{count, instance, now_ms, tame};
use crate::{input, out};

/// `homeostat instance`
#[derive(Subcommand)]
pub(crate) enum Verb {
    List(List),
    Provision(Provision),
    Destroy(Destroy),
    Label(Label),
    Validate(Validate),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Self::List(verb) => verb.run(globals).await,
            Self::Provision(verb) => verb.run(globals).await,
            Self::Destroy(verb) => verb.run(globals).await,
            Self::Label(Label { target, id, tags }) => {
                let tags = input::tags(&tags)?;
                target.open(globals).await?.call(Call::InstanceLabel { id: id.clone(), tags }).await?;
                if globals.json() { Ok(()) } else { out::print(&format!("Labelled {id}")) }
            }
            Self::Validate(Validate { target, properties }) => {
                let properties = input::json("the properties", &properties)?;
                target.open(globals).await?.call(Call::InstanceValidate { properties }).await?;
                if globals.json() { Ok(()) } else { out::print("Valid") }
            }
        }
    }
}

/// List the instances that the plugin knows
#[derive(Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  homeostat instance list instance-file --tag infrakit.group=web
  homeostat instance list ./instance_file.wasm --allow-dir ./machines:/instances --properties
  homeostat instance list instance-file --stack stack.json -o json"
)]
pub(crate) struct List {
    #[command(flatten)]
    target: Target,
    /// Only those that carry this tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = input::tag)]
    tags: Vec<(String, String)>,
    /// Show their properties too
    #[arg(long)]
    properties: bool,
}

/// What `instance.list` answers.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    instances: Vec<Instance>,
    complete: bool,
    findings: Vec<Finding>,
}

impl List {
    async fn run(self, globals: &Globals) -> Result<()> {
        let call = Call::InstanceList { tags: input::tags(&self.tags)?, with_properties: self.properties };
        let plugin = self.target.open(globals).await?;
        if globals.json() {
            return out::json(&plugin.call(call).await?);
        }
        let Listed { instances, complete, findings } = plugin.typed(call).await?;
        out::print(&instance::list(&instances, self.properties, now_ms()))?;
        for finding in findings {
            out::note(&format!("not counted: {}: {}", tame(&finding.subject), tame(&finding.message)));
        }
        if !complete {
            out::note("the list is incomplete: a part of the provider did not answer");
        }
        Ok(())
    }
}

/// Make an instance, and print its id
///
/// The same name with the same spec gives the same instance, however often.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat instance provision instance-file box-1 --properties '{\"Note\": \"hello\"}' --tag tier=web
  homeostat instance provision ./instance_file.wasm box-1 --allow-dir ./machines:/instances:rw --init @boot.sh")]
pub(crate) struct Provision {
    #[command(flatten)]
    target: Target,
    /// The name, by which the plugin knows what it has made already: 1 to 128 of A-Z a-z 0-9 . _ -
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The plugin's properties
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "null", hide_default_value = true)]
    properties: String,
    /// A tag to put on it; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = input::tag)]
    tags: Vec<(String, String)>,
    /// A script to run when it boots
    #[arg(long, value_name = "TEXT|@FILE|-", default_value = "", hide_default_value = true)]
    init: String,
    /// The identity that survives its replacement
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    logical_id: Option<String>,
    /// Something to attach; may be given several times
    #[arg(long = "attachment", value_name = "ID:TYPE", value_parser = input::attachment)]
    attachments: Vec<Attachment>,
}

impl Provision {
    async fn run(self, globals: &Globals) -> Result<()> {
        let spec = InstanceSpec {
            properties: input::json("the properties", &self.properties)?,
            tags: input::tags(&self.tags)?,
            init: input::text(&self.init)?,
            logical_id: self.logical_id,
            attachments: self.attachments,
        };
        let call = Call::InstanceProvision { name: self.name, spec };
        let plugin = self.target.open(globals).await?;
        if globals.json() {
            return out::json(&plugin.call(call).await?);
        }
        out::print(&tame(&plugin.typed::<String>(call).await?))
    }
}

/// Destroy instances, whoever made them
#[derive(Args)]
#[command(after_long_help = "Example:\n  homeostat instance destroy instance-file box-1 box-2")]
pub(crate) struct Destroy {
    #[command(flatten)]
    target: Target,
    /// The instances, by the provider's id
    #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    ids: Vec<String>,
    /// What to tell the plugin about why
    #[arg(long, value_enum, default_value_t = Reason::Terminate)]
    reason: Reason,
}

/// Why an instance is destroyed.
#[derive(Clone, Copy, ValueEnum)]
enum Reason {
    /// It is no longer wanted
    Terminate,
    /// One with another config takes its place
    RollingUpdate,
    /// It broke, and one with the same config takes its place
    Unhealthy,
}

impl From<Reason> for DestroyReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Terminate => Self::Terminate,
            Reason::RollingUpdate => Self::RollingUpdate,
            Reason::Unhealthy => Self::Unhealthy,
        }
    }
}

impl Destroy {
    async fn run(self, globals: &Globals) -> Result<()> {
        let plugin = self.target.open(globals).await?;
        let (total, mut failed) = (self.ids.len(), Vec::new());
        for id in self.ids {
            match plugin.call(Call::InstanceDestroy { id: id.clone(), reason: self.reason.into() }).await {
                Ok(_) if globals.json() => {}
                Ok(_) => out::print(&format!("Destroyed {id}"))?,
                // One was asked for, or nobody answers: the error itself says it best.
                Err(error) if total == 1 || crate::failure::code(&error) != 1 => return Err(error),
                Err(error) => failed.push(format!("{id}: {error:#}")),
            }
        }
        match failed.len() {
            0 => Ok(()),
            n => {
                Err(Refused(format!("{n} of {} not destroyed\n  {}", count(total, "instance"), failed.join("\n  ")))
                    .into())
            }
        }
    }
}

/// Put tags on an instance, or overwrite them
#[derive(Args)]
#[command(after_long_help = "\
Example, which lets the group web adopt a machine that it did not make:
  homeostat instance label instance-file box-1 infrakit.group=web infrakit.config.hash=bootstrap")]
pub(crate) struct Label {
    #[command(flatten)]
    target: Target,
    /// The instance, by the provider's id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// The tags
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = input::tag)]
    tags: Vec<(String, String)>,
}

/// Ask the plugin whether properties are right
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat instance validate ./instance_file.wasm '{\"Note\": \"hello\"}'
  homeostat instance validate instance-file @properties.json")]
pub(crate) struct Validate {
    #[command(flatten)]
    target: Target,
    /// The properties
    #[arg(value_name = "JSON|@FILE|-")]
    properties: String,
}
