//! `homeostat flavor`: a flavor plugin called by hand.

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use homeostat_core::observed::HealthReport;
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_server::call::Call;

use crate::args::Globals;
use crate::direct::Target;
use crate::failure::Usage;
use crate::render::instance;
use crate::{input, out};

/// `homeostat flavor`
#[derive(Subcommand)]
pub(crate) enum Verb {
    Prepare(Prepare),
    Health(Health),
    Drain(Drain),
    Validate(Validate),
}

impl Verb {
    pub(crate) async fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Self::Prepare(verb) => verb.run(globals).await,
            Self::Health(verb) => verb.run(globals).await,
            Self::Drain(verb) => verb.run(globals).await,
            Self::Validate(Validate { target, properties, allocation }) => {
                let properties = input::json("the properties", &properties)?;
                let call = Call::FlavorValidate { properties, allocation: allocation.allocation() };
                target.open(globals).await?.call(call).await?;
                if globals.json() { Ok(()) } else { out::print("Valid") }
            }
        }
    }
}

/// How the group counts.
#[derive(Args)]
struct AllocationArgs {
    /// For a group of so many alike
    #[arg(long, value_name = "N", conflicts_with = "logical_ids")]
    size: Option<u32>,
    /// For a group of these identities
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    logical_ids: Vec<String>,
}

impl AllocationArgs {
    fn allocation(&self) -> Allocation {
        input::allocation(self.size, &self.logical_ids)
    }
}

/// Print the spec of an instance as the flavor prepares it
///
/// The spec given with --spec is what the instance plugin would get without the flavor; the answer is what it gets.
#[derive(Args)]
#[command(after_long_help = "\
Example:
  homeostat flavor prepare ./flavor_vanilla.wasm '{\"Init\": [\"echo hello\"], \"Tags\": {\"tier\": \"web\"}}' --spec '{\"Properties\": {}}'")]
pub(crate) struct Prepare {
    #[command(flatten)]
    target: Target,
    /// The flavor's properties
    #[arg(value_name = "JSON|@FILE|-")]
    properties: String,
    /// The spec to prepare: {"Properties", "Tags", "Init", "LogicalID", "Attachments"}
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}")]
    spec: String,
    #[command(flatten)]
    allocation: AllocationArgs,
    /// The group it is for
    #[arg(long, value_name = "ID", default_value = "group", value_parser = NonEmptyStringValueParser::new())]
    group: String,
    /// The number of its slot in the group
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    sequence: u32,
    /// Its identity; overrides the spec's
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    logical_id: Option<String>,
}

impl Prepare {
    async fn run(self, globals: &Globals) -> Result<()> {
        let properties = input::json("the properties", &self.properties)?;
        let mut spec: InstanceSpec = input::typed("the spec", &self.spec)?;
        spec.logical_id = self.logical_id.or(spec.logical_id);
        let allocation = self.allocation.allocation();
        if let (Allocation::LogicalIds(ids), None) = (&allocation, &spec.logical_id) {
            // What the host does: the slot's number says which identity it is.
            spec.logical_id = ids.get(self.sequence as usize - 1).cloned();
        }
        let call = Call::FlavorPrepare { properties, spec, allocation, group: self.group, sequence: self.sequence };
        out::json(&self.target.open(globals).await?.call(call).await?)
    }
}

/// Ask the flavor how instances are
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat instance list instance-file -o json | homeostat flavor health flavor-vanilla '{}'
  homeostat flavor health ./flavor_vanilla.wasm @flavor.json --instances @instances.json")]
pub(crate) struct Health {
    #[command(flatten)]
    target: Target,
    /// The flavor's properties
    #[arg(value_name = "JSON|@FILE|-")]
    properties: String,
    /// Whom to judge, as `instance list -o json` prints them
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "-")]
    instances: String,
}

impl Health {
    async fn run(self, globals: &Globals) -> Result<()> {
        once_from_stdin(&self.properties, &self.instances)?;
        let properties = input::json("the properties", &self.properties)?;
        let instances = input::instances(&self.instances)?;
        let call = Call::FlavorHealth { properties, instances: instances.clone() };
        let plugin = self.target.open(globals).await?;
        if globals.json() {
            return out::json(&plugin.call(call).await?);
        }
        let reports: Vec<HealthReport> = plugin.typed(call).await?;
        out::print(&instance::reports(&instances, &reports))
    }
}

/// Make the flavor's work leave an instance
#[derive(Args)]
#[command(after_long_help = "\
Example:
  homeostat instance list instance-file -o json | jq '.Instances[0]' | homeostat flavor drain flavor-vanilla '{}' --instance -")]
pub(crate) struct Drain {
    #[command(flatten)]
    target: Target,
    /// The flavor's properties
    #[arg(value_name = "JSON|@FILE|-")]
    properties: String,
    /// Whom to drain: one of those that `instance list -o json` prints
    #[arg(long, value_name = "JSON|@FILE|-")]
    instance: String,
}

impl Drain {
    async fn run(self, globals: &Globals) -> Result<()> {
        once_from_stdin(&self.properties, &self.instance)?;
        let properties = input::json("the properties", &self.properties)?;
        let instance: homeostat_core::observed::Instance = input::typed("the instance", &self.instance)?;
        let id = instance.id.clone();
        self.target.open(globals).await?.call(Call::FlavorDrain { properties, instance }).await?;
        if globals.json() { Ok(()) } else { out::print(&format!("Drained {}", crate::render::tame(&id))) }
    }
}

/// Ask the flavor whether properties are right, and suit the group's size or identities
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat flavor validate ./flavor_vanilla.wasm '{\"Init\": [\"echo hello\"]}'
  homeostat flavor validate flavor-swarm @manager.json --logical-ids 10.0.0.1,10.0.0.2,10.0.0.3")]
pub(crate) struct Validate {
    #[command(flatten)]
    target: Target,
    /// The properties
    #[arg(value_name = "JSON|@FILE|-")]
    properties: String,
    #[command(flatten)]
    allocation: AllocationArgs,
}

/// Standard input can be read once.
fn once_from_stdin(one: &str, other: &str) -> Result<()> {
    if one == "-" && other == "-" {
        return Err(Usage("only one of the values can come from standard input".into()).into());
    }
    Ok(())
}
