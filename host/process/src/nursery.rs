//! The supervisors that this process started, and has to bury when they end.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// How long to wait where a child has ended that somebody else in this process is to bury.
const FOREIGN: Duration = Duration::from_millis(50);

/// One for the whole process, since children are the process's.
static NURSERY: Mutex<Nursery> = Mutex::new(Nursery { children: BTreeMap::new(), waited_for: false });

struct Nursery {
    children: BTreeMap<u32, Child>,
    waited_for: bool,
}

impl Nursery {
    fn get() -> MutexGuard<'static, Self> {
        NURSERY.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury(&mut self) {
        self.children.retain(|_, child| matches!(child.try_wait(), Ok(None)));
    }
}

/// Take care that a child leaves no zombie. One thread waits for all of them; it ends with the last.
pub(crate) fn adopt(child: Child) {
    let mut nursery = Nursery::get();
    nursery.children.insert(child.id(), child);
    if !nursery.waited_for {
        match thread::Builder::new().name("supervisors".into()).stack_size(64 << 10).spawn(wait) {
            Ok(_) => nursery.waited_for = true,
            // The next start tries again.
            Err(error) => {
                tracing::warn!(%error, "no thread can be started to wait for supervisors");
                nursery.bury();
            }
        }
    }
}

fn wait() {
    let ended = |more| waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | more);
    loop {
        // Only looked at: it may be somebody else's child.
        let first = ended(WaitIdOptions::empty());
        let mut nursery = Nursery::get();
        nursery.bury();
        if nursery.children.is_empty() || matches!(first, Err(Errno::CHILD)) {
            nursery.children.clear();
            nursery.waited_for = false;
            return;
        }
        drop(nursery);
        if matches!(ended(WaitIdOptions::NOHANG), Ok(Some(_))) {
            thread::sleep(FOREIGN);
        }
    }
}
