//! Plans for tests.

use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::GroupSpec;
use homeostat_core::step::{Destroy, Drain, Provision};
use homeostat_server::view::CommitRequest;
use serde_json::json;

use super::{Action, GroupPlan, PlanReply, Step};

pub(crate) fn spec(size: usize, init: &str) -> GroupSpec {
    let value = json!({"ID": "web", "Properties": {
        "Allocation": {"Size": size},
        "Instance": {"Plugin": "file"},
        "Flavor": {"Plugin": "vanilla", "Properties": {"Init": init}},
    }});
    serde_json::from_value(value).expect("it is a spec")
}

pub(crate) fn provision(slot: usize, why: String) -> Step {
    let action = Action::Provision(Provision {
        name: format!("web-{slot:04}-new"),
        slot: slot as u32,
        logical_id: None,
        revision: 4,
        hash: "h".into(),
        tags: Default::default(),
    });
    Step { action, why }
}

pub(crate) fn destroy(slot: usize, why: String) -> Step {
    let action = Action::Destroy(Destroy {
        id: format!("web-{slot:04}-old"),
        reason: DestroyReason::RollingUpdate,
        drain: Drain::Must,
        name: format!("web-{slot:04}-old"),
        slot: Some(slot as u32),
        logical_id: None,
        retry: None,
    });
    Step { action, why }
}

/// A rolling update of so many, one at a time, stop-first.
pub(crate) fn plan(size: usize) -> PlanReply {
    let one = |slot: usize| {
        let why = format!("it takes the place of web-{slot:04}-old, whose config is out of date");
        let more = format!("its config is out of date ({} more to go)", size - slot);
        [vec![destroy(slot, more)], vec![provision(slot, why)]]
    };
    let group = GroupPlan {
        id: "web".into(),
        plan: format!("Performing a rolling update on {size} instances"),
        revision: 3,
        world: "w".into(),
        old: Some(spec(size, "a")),
        new: spec(size, "b"),
        rounds: (1..=size).flat_map(one).collect(),
        complete: true,
    };
    let request = CommitRequest {
        name: "web.json".into(),
        base_dir: "/".into(),
        text: String::new(),
        pretend: false,
        convert: false,
    };
    PlanReply { request, plugins: Vec::new(), groups: vec![group] }
}
