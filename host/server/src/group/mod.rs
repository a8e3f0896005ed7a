//! One group: a task that keeps it, and the handle by which the host speaks to that task.

mod act;
mod observe;
mod pace;
mod state;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use homeostat_core::ledger::Ledger;
use homeostat_core::machine::{Control, ControlError, Explanation};
use homeostat_core::record::GroupRecord;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::event::Events;
use crate::registry::Registry;
use crate::store::{Journal, JournalError, StoredGroup};

pub(crate) use pace::Load;
pub(crate) use state::State;

/// What every group's task needs from its host.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) registry: Arc<Registry>,
    pub(crate) events: Events,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    /// Steps of one group that may run at once.
    pub(crate) parallel: usize,
    /// The longest time between two looks.
    pub(crate) resync: Duration,
    /// What looking at all groups takes.
    pub(crate) load: Load,
    /// The instance that the host itself runs on, by id or logical id.
    pub(crate) self_instance: Option<String>,
    /// Where groups ask for what only the host can do.
    pub(crate) wishes: mpsc::Sender<Wish>,
}

/// What a group asks of the host. It asks again after each look, until it is done.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Its last instance is gone: forget it, if it is still the one of this revision.
    Forget { group: String, revision: u64 },
    /// Its rollout failed: keep this record, if the one before it is still in force.
    RollBack(Box<GroupRecord>),
}

/// A group's task, seen from the host.
pub(crate) struct GroupHandle {
    orders: mpsc::Sender<Order>,
    wake: Arc<Notify>,
    state: watch::Receiver<Arc<State>>,
    /// The revision of the last spec handed over.
    revision: AtomicU64,
    task: tokio::task::JoinHandle<()>,
}

/// What the host tells a task.
enum Order {
    /// Keep this spec from now on.
    Adopt(Box<GroupRecord>),
    /// Forget what failed, and look at once: a plugin changed.
    Retry,
    /// An operator's word.
    Control(Control, oneshot::Sender<Result<Taken, ControlError>>),
    /// Why is the group, or this instance of it, as it is?
    Why(Option<String>, oneshot::Sender<Option<Answer>>),
    /// What is under way and remembered, to plan with.
    Ledger(oneshot::Sender<Ledger>),
    /// End when the calls under way have ended.
    Stop,
}

/// What was asked about, and why it is as it is. None where it is not known.
type Answer = (String, Vec<Explanation>);

/// An operator's word that was taken: what it did, in one sentence, and when that is durable.
pub(crate) type Taken = (String, BoxFuture<'static, Result<(), JournalError>>);

impl GroupHandle {
    /// Start a task that keeps the group. `restored` says that a host kept it before.
    pub(crate) fn start(group: StoredGroup, restored: bool, context: Context) -> Self {
        let (orders, inbox) = mpsc::channel(16);
        let wake = Arc::new(Notify::new());
        let revision = AtomicU64::new(group.record.revision);
        let (publish, state) = watch::channel(Arc::new(State::new(Arc::new(group.record.clone()))));
        let task = tokio::spawn(task::run(group, restored, context, inbox, Arc::clone(&wake), publish));
        Self { orders, wake, state, revision, task }
    }

    /// Hand over another spec; the task takes it at once. What it shows from now on is of this spec or a later one.
    pub(crate) fn adopt(&self, record: GroupRecord) -> impl Future<Output = ()> + use<> {
        let orders = self.orders.clone();
        self.revision.store(record.revision, Ordering::Relaxed);
        async move {
            // The task only ends after it was told to.
            let _ = orders.send(Order::Adopt(Box::new(record))).await;
        }
    }

    /// The revision of the last spec handed over, which the task may not have taken yet.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Something may have changed: look again soon.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// A plugin of the group changed: what failed with the one before is worth another try.
    pub(crate) fn retry(&self) {
        // A full inbox holds an order that leads to the same.
        let _ = self.orders.try_send(Order::Retry);
    }

    /// Ask the task something. None where it has ended.
    fn ask<T: Send + 'static>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> BoxFuture<'static, Option<T>> {
        let (reply, answer) = oneshot::channel();
        let (orders, order) = (self.orders.clone(), order(reply));
        Box::pin(async move {
            orders.send(order).await.ok()?;
            answer.await.ok()
        })
    }

    /// Say an operator's word.
    pub(crate) fn control(&self, control: Control) -> BoxFuture<'static, Option<Result<Taken, ControlError>>> {
        self.ask(move |reply| Order::Control(control, reply))
    }

    /// Ask why the group, or an instance of it, is as it is.
    pub(crate) fn why(&self, instance: Option<String>) -> BoxFuture<'static, Option<Option<Answer>>> {
        self.ask(move |reply| Order::Why(instance, reply))
    }

    /// Ask what is under way and remembered.
    pub(crate) fn ledger(&self) -> BoxFuture<'static, Option<Ledger>> {
        self.ask(Order::Ledger)
    }

    /// How the group stands.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// How the group stands, as it changes. It closes when the task ends.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    /// Stop keeping the group. Steps that have not begun are dropped; this returns when those that have are over, which
    /// the plugins' wall-clock limits bound.
    pub(crate) async fn stop(self) {
        let _ = self.orders.send(Order::Stop).await;
        if let Err(error) = self.task.await {
            tracing::error!("a group's task ended badly: {error}");
        }
    }
}
