//! Health, as far as an instance's state tells it.

use crate::bindings::exports::homeostat::plugin::flavor::{HealthReport, HealthStatus};
use crate::bindings::homeostat::plugin::types::{Instance, InstanceState};

/// Judge one instance: running is healthy, pending cannot be told yet, anything else does no work.
pub fn judge(instance: &Instance) -> HealthReport {
    let (status, what) = match instance.state {
        InstanceState::Running => return HealthReport { status: HealthStatus::Healthy, message: String::new() },
        InstanceState::Pending => (HealthStatus::Unknown, "not running yet"),
        InstanceState::Stopping => (HealthStatus::Unhealthy, "it is stopping"),
        InstanceState::Stopped => (HealthStatus::Unhealthy, "it is stopped"),
        InstanceState::Failed => (HealthStatus::Unhealthy, "it failed"),
    };
    let message = match instance.message.as_str() {
        "" => what.to_owned(),
        why => format!("{what}: {why}"),
    };
    HealthReport { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_instance_is_not_healthy() {
        let instance = |state, message: &str| Instance {
            id: "i".into(),
            name: "i".into(),
            logical_id: None,
            state,
            message: message.into(),
            created_at_ms: None,
            addresses: Vec::new(),
            tags: Vec::new(),
            properties: None,
        };
        let cases = [
            (InstanceState::Running, HealthStatus::Healthy, ""),
            (InstanceState::Pending, HealthStatus::Unknown, "not running yet: disk full"),
            (InstanceState::Stopping, HealthStatus::Unhealthy, "it is stopping: disk full"),
            (InstanceState::Stopped, HealthStatus::Unhealthy, "it is stopped: disk full"),
            (InstanceState::Failed, HealthStatus::Unhealthy, "it failed: disk full"),
        ];
        for (state, status, message) in cases {
            assert_eq!(judge(&instance(state, "disk full")), HealthReport { status, message: message.into() });
        }
        assert_eq!(judge(&instance(InstanceState::Stopped, "")).message, "it is stopped");
    }
}
