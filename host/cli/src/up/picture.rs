//! What `up` shows of its groups at one moment.

use std::collections::BTreeMap;

use homeostat_core::plan::Counts;
use homeostat_core::step::Action;
use homeostat_server::Host;
use homeostat_server::event::{Event, What};
use homeostat_server::view::{GroupSummary, GroupView};

/// Instances of a group that are looked at one by one. A picture of more costs the host more than it tells a person.
const DETAIL: usize = 64;

/// One group at one moment.
#[derive(Clone, Debug)]
pub(crate) enum Picture {
    /// It is no longer kept.
    Gone(String),
    /// It has many instances.
    Large(Box<GroupSummary>, Steps),
    /// It has few.
    Small(Box<GroupView>),
}

/// Steps that were carried out since a group was counted last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Instances made.
    pub(crate) made: usize,
    /// Instances destroyed.
    pub(crate) destroyed: usize,
}

/// Takes pictures, and counts steps in between.
#[derive(Debug, Default)]
pub(crate) struct Camera {
    steps: BTreeMap<String, (Counts, Steps)>,
}

impl Camera {
    /// Count a step.
    pub(crate) fn event(&mut self, event: &Event) {
        if let (Some(group), What::StepDone { step }) = (&event.group, &event.what)
            && let Some((_, steps)) = self.steps.get_mut(group)
        {
            match &step.action {
                Action::Provision(_) => steps.made += 1,
                Action::Destroy(_) => steps.destroyed += 1,
                Action::Label(_) => {}
            }
        }
    }

    /// The groups of these ids, in their order.
    pub(crate) fn take(&mut self, host: &Host, ids: &[String]) -> Vec<Picture> {
        let groups: BTreeMap<String, GroupSummary> = host.groups().into_iter().map(|it| (it.id.clone(), it)).collect();
        let picture = |id: &String| {
            let Some(summary) = groups.get(id) else { return Picture::Gone(id.clone()) };
            let counts = summary.report.counts;
            let (counted, steps) = self.steps.entry(id.clone()).or_default();
            if *counted != counts {
                // The instances have been listed again, and what was done is in the list.
                (*counted, *steps) = (counts, Steps::default());
            }
            if counts.desired.max(counts.actual + counts.creating) > DETAIL {
                return Picture::Large(Box::new(summary.clone()), *steps);
            }
            // An error says that it went between the two questions.
            host.describe(id).map_or_else(|_| Picture::Gone(id.clone()), |view| Picture::Small(Box::new(view)))
        };
        ids.iter().map(picture).collect()
    }
}
