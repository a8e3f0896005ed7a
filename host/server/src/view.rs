//! What the host shows of itself: the bodies of the API's answers, and what an embedding program gets.
//!
//! All times are milliseconds since 1970-01-01T00:00:00Z.

use std::path::PathBuf;

use homeostat_core::grant::{Gap, Grants, Limits};
use homeostat_core::ledger::{RolloutKind, RolloutStatus};
use homeostat_core::machine::Control;
use homeostat_core::observed::{Finding, Health, InstanceState};
use homeostat_core::plan::{Goal, Report};
use homeostat_core::plugin::LockedVersion;
use homeostat_core::spec::{GroupSpec, PluginSource};
use homeostat_core::step::Step;
use homeostat_core::tags::Tags;
use homeostat_core::time::Timestamp;
use homeostat_runtime::{CallStats, Degraded, PluginInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The host itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostView {
    /// Homeostat's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Where its state is.
    pub state_dir: PathBuf,
    /// When it started.
    pub started_at: Timestamp,
}

/// A document to commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommitRequest {
    /// What to call the document in error messages: its file's name, or `-`.
    pub name: String,
    /// The directory that relative paths in it are relative to. Absolute.
    pub base_dir: PathBuf,
    /// The document.
    pub text: String,
    /// Only say what it would do.
    #[serde(default)]
    pub pretend: bool,
    /// Let groups of a size become groups of logical ids, and back.
    #[serde(default)]
    pub convert: bool,
}

/// What a commit did, or would do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommitReply {
    /// The plugins that the document registers.
    pub plugins: Vec<String>,
    /// Its groups, in its order.
    pub groups: Vec<GroupCommit>,
}

/// What a commit did, or would do, to one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupCommit {
    /// The group.
    #[serde(rename = "ID")]
    pub id: String,
    /// What is done, in InfraKit's words.
    pub plan: String,
    /// The revision of the spec: 1 for the first, one more for each change.
    pub revision: u64,
}

/// What a commit would do, step by step; given back to the host as it is, it is carried out if nothing has moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlanReply {
    /// The document that was planned.
    pub request: CommitRequest,
    /// The plugins that it registers.
    pub plugins: Vec<String>,
    /// Its groups, in its order.
    pub groups: Vec<GroupPlan>,
}

/// What a commit would do to one group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupPlan {
    /// The group.
    #[serde(rename = "ID")]
    pub id: String,
    /// What would be done, in InfraKit's words.
    pub plan: String,
    /// The revision of the spec in force; 0 where there is none.
    pub revision: u64,
    /// A fingerprint of the instances that the plan was made from, and of what is under way.
    pub world: String,
    /// The spec in force.
    pub old: Option<GroupSpec>,
    /// The spec that would be.
    pub new: GroupSpec,
    /// The steps, in rounds: those of one round run at the same time.
    pub rounds: Vec<Vec<Step>>,
    /// Whether these are all the steps. Where not, an operator has to say something after them, or there are too many.
    pub complete: bool,
}

/// A word to a rollout, or to healing that gave up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ControlRequest {
    /// The word.
    pub control: Control,
}

/// What was done, in one sentence.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Said {
    /// The sentence.
    pub text: String,
}

/// Going back to an earlier revision.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollbackRequest {
    /// To which; none: to the last that was stable.
    #[serde(default)]
    pub to: Option<u64>,
}

/// Instances to protect, or not any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProtectRequest {
    /// Which, by the provider's id.
    #[serde(rename = "IDs")]
    pub ids: Vec<String>,
    /// Whether they are to be protected.
    pub protected: bool,
}

/// Why something is as it is, or is not being done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Why {
    /// The reason, in one sentence.
    pub text: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it is tried or looked at again.
    pub next: Option<Timestamp>,
}

/// The answer to "why": of a group, or of one instance of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WhyReply {
    /// The group, or the instance.
    pub subject: String,
    /// How it stands, in one sentence.
    pub status: String,
    /// The reasons, the weightiest first; at least one.
    pub reasons: Vec<Why>,
}

/// How a config comes into a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RolloutView {
    /// The revision of the config.
    pub revision: u64,
    /// What kind of rollout.
    pub kind: RolloutKind,
    /// How it stands.
    pub status: RolloutStatus,
    /// The same in one sentence.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
    /// How many instances were to be made or replaced when it began.
    pub total: usize,
    /// The most new instances that were ready at one time.
    pub ready: usize,
    /// New instances that failed.
    pub failed: usize,
    /// The last failure.
    pub last_failure: String,
    /// When it fails if no further instance becomes healthy; none while its clock stands.
    pub deadline: Option<Timestamp>,
}

/// A config that a group has, or had.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RevisionView {
    /// The revision that brought it.
    pub revision: u64,
    /// Its config hash.
    pub hash: String,
    /// When it was committed.
    pub at: Timestamp,
    /// Whether it was wholly rolled out, and healthy.
    pub stable: bool,
    /// The revision whose place it took as a rollback.
    pub rollback_of: Option<u64>,
}

/// A slot whose instances were replaced because they were broken.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetryView {
    /// The slot, or the identity.
    pub slot: String,
    /// Replacements in a row.
    pub failures: u32,
    /// When the last one was.
    pub last: Timestamp,
}

/// One instance that is or was in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistoryEntry {
    /// The slot.
    pub slot: Option<u32>,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// The name it was made with.
    pub name: String,
    /// The revision of its config, where the host made it.
    pub revision: Option<u64>,
    /// When it was made, where that is still remembered.
    pub made: Option<Timestamp>,
    /// Why it was made.
    pub made_why: String,
    /// When it was destroyed, or not found any more; none while it exists.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub ended_why: String,
    /// What went wrong with it last; empty where nothing did.
    pub error: String,
}

/// A group in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupSummary {
    /// The group.
    #[serde(rename = "ID")]
    pub id: String,
    /// The revision of its spec.
    pub revision: u64,
    /// Its instance plugin.
    pub instance_plugin: String,
    /// Its flavor plugin.
    pub flavor_plugin: String,
    /// Kept or being destroyed.
    pub goal: Goal,
    /// How it stands.
    pub report: Report,
    /// The same in one sentence.
    pub status: String,
    /// How its config is being rolled out, or was.
    pub rollout: Option<RolloutView>,
}

/// A group in full.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupView {
    /// As in a list.
    #[serde(flatten)]
    pub summary: GroupSummary,
    /// The config hash of the spec in force.
    pub config_hash: String,
    /// When its instances were last listed; none before the first time.
    pub observed_at: Option<Timestamp>,
    /// Why something is not being done.
    pub waiting: Vec<Why>,
    /// Its configs, oldest first; the last one is in force.
    pub revisions: Vec<RevisionView>,
    /// Slots that were healed lately.
    pub retries: Vec<RetryView>,
    /// Its instances, in the order of their slots.
    pub instances: Vec<InstanceView>,
    /// What is being done at this moment.
    pub progress: Progress,
    /// What the instance plugin found and did not count.
    pub findings: Vec<Finding>,
}

/// Steps of the plan that is being carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Progress {
    /// Steps in all; 0 when nothing is being done.
    pub total: usize,
    /// Steps that ended.
    pub done: usize,
    /// Steps that run.
    pub running: usize,
}

/// An instance of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceView {
    /// The provider's id; empty while it is being made.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name it was provisioned with.
    pub name: String,
    /// The slot it fills, where it says.
    pub slot: Option<u32>,
    /// The identity of a pet.
    #[serde(rename = "LogicalID", default, skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// Where it is in its life.
    pub state: InstanceState,
    /// How it is.
    pub health: Health,
    /// Why it is in that state or health; empty where there is nothing to say.
    pub message: String,
    /// Whether it was made from the spec in force.
    pub current: bool,
    /// Whether it is being destroyed.
    pub removing: bool,
    /// Whether nothing may destroy it.
    pub protected: bool,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Where to reach it.
    pub addresses: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A plugin to register.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddPlugin {
    /// What groups will call it.
    pub name: String,
    /// Where its file comes from. A file is absolute.
    #[serde(rename = "Path")]
    pub source: PluginSource,
    /// The SHA-256 that the file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether to ask anew what a URL or a tag means, where it is registered already. A file is always read anew.
    #[serde(default)]
    pub update: bool,
    /// What it may touch.
    #[serde(default)]
    pub grants: Grants,
    /// What a call may cost.
    #[serde(default)]
    pub limits: Limits,
}

/// A registered plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginView {
    /// What groups call it.
    pub name: String,
    /// Where its file comes from.
    #[serde(rename = "Path")]
    pub source: PluginSource,
    /// What it says of itself; none where it could not be loaded.
    pub info: Option<PluginInfo>,
    /// Why it could not be loaded.
    pub error: Option<String>,
    /// Which version is in use.
    #[serde(default)]
    pub locked: Option<LockedVersion>,
    /// Which version was in use before it, and would be again after a rollback.
    #[serde(default)]
    pub previous: Option<LockedVersion>,
    /// A version that was not taken into use.
    #[serde(default)]
    pub refused: Option<RefusedVersion>,
    /// Functions that crashed so often that they are not called for now.
    #[serde(default)]
    pub degraded: Vec<Degraded>,
    /// Crashes of this version since it is in use.
    #[serde(default)]
    pub crashes: u32,
    /// What it wants and is not granted.
    #[serde(default)]
    pub wanted_not_granted: Vec<Gap>,
    /// What it is granted and does not want: without effect.
    #[serde(default)]
    pub granted_not_wanted: Vec<Gap>,
    /// Its calls since the host started.
    pub stats: CallStats,
    /// The groups that use it.
    pub used_by: Vec<String>,
}

/// A version of a plugin that was not taken into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RefusedVersion {
    /// The SHA-256 of its file, where it was got so far.
    pub digest: Option<String>,
    /// Why it was refused.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Another version for a plugin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SwapRequest {
    /// Where it comes from; none for where the one in use came from. A file is absolute.
    #[serde(rename = "Path")]
    pub source: Option<PluginSource>,
    /// The SHA-256 that the file must have; none for the pin that is there, if there is one.
    pub sha256: Option<String>,
    /// What it may touch; none for what the one in use may.
    pub grants: Option<Grants>,
    /// Whether the operator has seen what it wants more than the one in use, and agrees.
    pub consent: bool,
}

/// Another size for a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScaleRequest {
    /// How many instances. Signed, so that a negative one gets an answer that says so.
    pub size: i64,
}

/// Instances to destroy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DestroyInstancesRequest {
    /// Which, by the provider's id.
    #[serde(rename = "IDs")]
    pub ids: Vec<String>,
}

/// What a direct call of a plugin returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallReply {
    /// The function's result; null where it has none.
    pub result: Value,
}
