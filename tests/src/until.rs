//! Waiting for what comes to pass by itself: looking again and again, with an end.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// The longest that anything may take. A machine that does much else is slow; a test that waits so long has failed.
pub const LONG: Duration = Duration::from_secs(30);

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(2);

/// Look until there is something to see, and return it.
///
/// # Panics
/// When it does not come within [`LONG`].
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {LONG:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Look until what is seen is what is expected.
///
/// # Panics
/// When it does not come within [`LONG`], with what was seen last.
#[track_caller]
pub fn until_eq<T: PartialEq + Debug>(what: &str, expected: T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + LONG;
    loop {
        let seen = look();
        if seen == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited {LONG:?} in vain: {what}: expected {expected:?}, last seen {seen:?}"
        );
        std::thread::sleep(PAUSE);
    }
}
