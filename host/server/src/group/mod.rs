//! One group: a task that keeps it, and the handle by which the host speaks to that task.

mod act;
mod observe;
mod state;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use crate::clock::Clock;
use crate::event::Events;
use crate::registry::Registry;
use crate::store::GroupRecord;

pub(crate) use state::State;

/// What every group's task needs from its host.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) registry: Arc<Registry>,
    pub(crate) events: Events,
    pub(crate) clock: Clock,
    /// Steps of one group that may run at once.
    pub(crate) parallel: usize,
    /// The longest time between two looks.
    pub(crate) resync: Duration,
    /// Where a group whose last instance is gone says so: its id and the revision it was destroyed at.
    pub(crate) gone: mpsc::Sender<(String, u64)>,
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
    /// End when the calls under way have ended.
    Stop,
}

impl GroupHandle {
    /// Start a task that keeps the group.
    pub(crate) fn start(record: GroupRecord, context: Context) -> Self {
        let (orders, inbox) = mpsc::channel(16);
        let wake = Arc::new(Notify::new());
        let revision = AtomicU64::new(record.revision);
        let (publish, state) = watch::channel(Arc::new(State::new(record.clone())));
        let task = tokio::spawn(task::run(record, context, inbox, Arc::clone(&wake), publish));
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
