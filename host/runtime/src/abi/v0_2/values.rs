//! The words of this version, from and to the model's.

use std::collections::BTreeMap;
use std::time::Duration;

use homeostat_core::observed;
use homeostat_core::outcome::{DestroyReason, ErrorCode, PluginError};
use homeostat_core::spec;
use homeostat_core::tags::Tags;
use serde_json::Value;

use super::{wit, wit_flavor, wit_instance};
use crate::abi::instance::Page;
use crate::call::Fault;

/// Characters of an error's details that are shown.
const DETAILS: usize = 2000;

impl From<wit::Error> for PluginError {
    fn from(error: wit::Error) -> Self {
        let code = match error.code {
            wit::ErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
            wit::ErrorCode::NotFound => ErrorCode::NotFound,
            wit::ErrorCode::AlreadyExists => ErrorCode::AlreadyExists,
            wit::ErrorCode::PermissionDenied => ErrorCode::PermissionDenied,
            wit::ErrorCode::ResourceExhausted => ErrorCode::ResourceExhausted,
            wit::ErrorCode::Unavailable => ErrorCode::Unavailable,
            wit::ErrorCode::Aborted => ErrorCode::Aborted,
            wit::ErrorCode::Unimplemented => ErrorCode::Unimplemented,
            wit::ErrorCode::Internal => ErrorCode::Internal,
        };
        let retry_after = error.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
        let message = match error.details {
            Some(details) => format!("{}; details: {}", error.message, cut(&details)),
            None => error.message,
        };
        Self { code, message, path: error.path, retry_after }
    }
}

/// As much of an error's details as the contract says that the operator is shown.
fn cut(details: &str) -> &str {
    details.char_indices().nth(DETAILS).map_or(details, |(end, _)| &details[..end])
}

/// A plugin's answer, with its error as the model has it.
pub(super) fn answer<T>(answer: Result<T, wit::Error>) -> Result<T, Fault> {
    answer.map_err(|error| Fault::Plugin(error.into()))
}

pub(super) fn tags(tags: Tags) -> wit::Tags {
    tags.into_iter().collect()
}

fn tags_back(pairs: wit::Tags, of: &dyn Fn() -> String) -> Result<Tags, Fault> {
    let count = pairs.len();
    let tags: BTreeMap<_, _> = pairs.into_iter().collect();
    if tags.len() != count {
        return Err(Fault::Nonsense(format!("{} has a tag twice", of())));
    }
    Ok(tags)
}

fn json_back(text: &str, of: &dyn Fn() -> String) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|e| Fault::Nonsense(format!("the properties of {} are no JSON: {e}", of())))
}

pub(super) fn spec(spec: spec::InstanceSpec) -> wit::InstanceSpec {
    wit::InstanceSpec {
        properties: spec.properties.to_string(),
        tags: tags(spec.tags),
        init: spec.init,
        logical_id: spec.logical_id,
        attachments: spec.attachments.into_iter().map(|a| wit::Attachment { id: a.id, kind: a.kind }).collect(),
    }
}

pub(super) fn spec_back(spec: wit::InstanceSpec) -> Result<spec::InstanceSpec, Fault> {
    let of = || "the prepared spec".to_string();
    Ok(spec::InstanceSpec {
        properties: json_back(&spec.properties, &of)?,
        tags: tags_back(spec.tags, &of)?,
        init: spec.init,
        logical_id: spec.logical_id,
        attachments: spec.attachments.into_iter().map(|a| spec::Attachment { id: a.id, kind: a.kind }).collect(),
    })
}

pub(super) fn allocation(allocation: spec::Allocation) -> wit::Allocation {
    match allocation {
        spec::Allocation::Size(n) => wit::Allocation::Size(n),
        spec::Allocation::LogicalIds(ids) => wit::Allocation::LogicalIds(ids),
    }
}

pub(super) fn reason(reason: DestroyReason) -> wit_instance::DestroyReason {
    match reason {
        DestroyReason::Terminate => wit_instance::DestroyReason::Terminate,
        DestroyReason::RollingUpdate => wit_instance::DestroyReason::RollingUpdate,
        DestroyReason::Unhealthy => wit_instance::DestroyReason::Unhealthy,
    }
}

pub(super) fn instance(instance: observed::Instance) -> wit::Instance {
    wit::Instance {
        id: instance.id,
        name: instance.name,
        logical_id: instance.logical_id,
        state: match instance.state {
            observed::InstanceState::Pending => wit::InstanceState::Pending,
            observed::InstanceState::Running => wit::InstanceState::Running,
            observed::InstanceState::Stopping => wit::InstanceState::Stopping,
            observed::InstanceState::Stopped => wit::InstanceState::Stopped,
            observed::InstanceState::Failed => wit::InstanceState::Failed,
        },
        message: instance.message,
        created_at_ms: instance.created_at_ms,
        addresses: instance.addresses,
        tags: tags(instance.tags),
        properties: instance.properties.map(|it| it.to_string()),
    }
}

fn instance_back(instance: wit::Instance) -> Result<observed::Instance, Fault> {
    if instance.id.is_empty() {
        return Err(Fault::Nonsense(format!("an instance (name {:?}) has an empty id", instance.name)));
    }
    let of = || format!("instance {:?}", instance.id);
    let tags = tags_back(instance.tags, &of)?;
    let properties = instance.properties.map(|text| json_back(&text, &of)).transpose()?;
    Ok(observed::Instance {
        id: instance.id,
        name: instance.name,
        logical_id: instance.logical_id,
        state: match instance.state {
            wit::InstanceState::Pending => observed::InstanceState::Pending,
            wit::InstanceState::Running => observed::InstanceState::Running,
            wit::InstanceState::Stopping => observed::InstanceState::Stopping,
            wit::InstanceState::Stopped => observed::InstanceState::Stopped,
            wit::InstanceState::Failed => observed::InstanceState::Failed,
        },
        message: instance.message,
        created_at_ms: instance.created_at_ms,
        addresses: instance.addresses,
        tags,
        properties,
    })
}

pub(super) fn page_back(page: wit_instance::Page) -> Result<Page, Fault> {
    Ok(Page {
        instances: page.instances.into_iter().map(instance_back).collect::<Result<_, _>>()?,
        next: page.next,
        complete: page.complete,
        findings: page
            .findings
            .into_iter()
            .map(|f| observed::Finding { subject: f.subject, message: f.message })
            .collect(),
    })
}

pub(super) fn report_back(report: wit_flavor::HealthReport) -> observed::HealthReport {
    let status = match report.status {
        wit_flavor::HealthStatus::Unknown => observed::Health::Unknown,
        wit_flavor::HealthStatus::Healthy => observed::Health::Healthy,
        wit_flavor::HealthStatus::Unhealthy => observed::Health::Unhealthy,
    };
    observed::HealthReport { status, message: report.message }
}
