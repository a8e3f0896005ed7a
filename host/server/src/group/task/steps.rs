//! Steps of a group: begun when that is durable, carried out beside the loop, and taken in when they end.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use homeostat_core::execute::Outcome;
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::step::{Action, Step};

use super::Task;
use crate::error::chain;
use crate::event::What;
use crate::group::act::{Plugins, act};
use crate::store::JournalError;

impl Task {
    pub(super) fn announce(&self) {
        let count =
            |wanted: fn(&Action) -> bool| self.machine.executor().queued().filter(|it| wanted(&it.action)).count();
        tracing::info!(
            group = self.group(),
            provision = count(|it| matches!(it, Action::Provision(_))),
            destroy = count(|it| matches!(it, Action::Destroy(_))),
            label = count(|it| matches!(it, Action::Label(_))),
            "plan"
        );
    }

    /// Begin as many steps as may begin. Their intents are durable before their calls are made.
    pub(super) fn start(&mut self) -> Vec<BoxFuture<'static, (Step, Outcome)>> {
        let Some(plugins) = self.plugins.clone() else { return Vec::new() };
        let now = self.context.clock.now();
        let steps: Vec<Step> = std::iter::from_fn(|| self.machine.start(now)).collect();
        if steps.is_empty() {
            return Vec::new();
        }
        let changes = self.changes();
        let durable = self.context.journal.flush(changes).boxed().shared();
        steps.into_iter().map(|step| self.carry_out(step, plugins.clone(), durable.clone())).collect()
    }

    fn carry_out(
        &mut self,
        step: Step,
        plugins: Plugins,
        durable: Shared<BoxFuture<'static, Result<(), JournalError>>>,
    ) -> BoxFuture<'static, (Step, Outcome)> {
        self.event(|| What::StepStarted { step: step.clone() });
        let record = Arc::clone(self.machine.record());
        let victim = match &step.action {
            Action::Destroy(it) => self.victims.remove(&it.id),
            _ => None,
        };
        // All calls of a step run where the guests do, which spares them the way between threads.
        let acting = step.clone();
        let acted = self.context.registry.runtime().beside_guests(async move {
            if let Err(error) = durable.await {
                let message = format!("it was not begun, because that could not be written down: {}", chain(&error));
                return Outcome::Failed(PluginError {
                    code: ErrorCode::Unavailable,
                    message,
                    path: None,
                    retry_after: None,
                });
            }
            act(&plugins, &record, &acting, victim.as_ref()).await
        });
        Box::pin(async move {
            let outcome = acted.await.unwrap_or_else(|| {
                let message = "the host failed while it carried out this step; please report this".into();
                Outcome::Unknown(PluginError { code: ErrorCode::Internal, message, path: None, retry_after: None })
            });
            (step, outcome)
        })
    }

    pub(super) fn finished(&mut self, step: &Step, outcome: Outcome) {
        let now = self.context.clock.now();
        self.machine.finish(step, &outcome, now, fastrand::u64(..));
        self.state.progress.done += 1;
        let (group, subject, work) = (self.group(), step.action.subject(), step.action.work());
        match outcome {
            Outcome::Done => {
                tracing::debug!(group, instance = subject, why = step.why, "{work}: done");
                self.event(|| What::StepDone { step: step.clone() });
            }
            Outcome::Refused(error) | Outcome::Failed(error) | Outcome::Unknown(error) => {
                tracing::warn!(group, instance = subject, why = step.why, "{work}: {error}");
                self.event(|| What::StepFailed { step: step.clone(), error });
            }
        }
        if self.machine.executor().is_idle() {
            self.state.progress = Default::default();
            self.pace.now();
        } else if Instant::now() >= self.progress_at {
            self.unpublished = true;
        }
    }
}
