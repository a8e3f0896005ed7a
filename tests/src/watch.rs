//! Everything that happens to the instances of a directory, in order: the kernel tells, so that nothing is too short to be
//! seen.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use serde_json::Value;

/// One thing that happened to an instance's file.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It was made, with this content; none where it was gone before it could be read.
    Made(String, Option<Value>),
    /// It was taken away.
    Gone(String),
}

/// Watches a directory until it is dropped.
pub struct Watch {
    log: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watch the files of a directory whose names end in `.json`.
    ///
    /// # Panics
    /// Where the kernel cannot.
    pub fn new(dir: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
        let wanted = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        inotify::add_watch(&inotify, dir, wanted).expect("a watch");
        let (log, over) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicBool>::default());
        let (dir, to, ends) = (dir.to_owned(), Arc::clone(&log), Arc::clone(&over));
        let thread = std::thread::spawn(move || follow(&inotify, &dir, &to, &ends));
        Self { log, over, thread: Some(thread) }
    }

    /// How many things were seen so far.
    pub fn len(&self) -> usize {
        self.log.lock().expect("nobody panics with it").len()
    }

    /// Whether nothing was seen so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was seen so far.
    ///
    /// # Panics
    /// Where something was missed.
    pub fn log(&self) -> Vec<Seen> {
        assert!(self.thread.as_ref().is_some_and(|it| !it.is_finished()), "the watch has lost sight");
        // What happened a moment ago is still on its way.
        std::thread::sleep(Duration::from_millis(20));
        self.log.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(inotify: &OwnedFd, dir: &Path, to: &Mutex<Vec<Seen>>, over: &AtomicBool) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = Reader::new(inotify, &mut buffer);
    while !over.load(Ordering::Relaxed) {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::WOULDBLOCK) => {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            Err(error) => panic!("the watch failed: {error}"),
        };
        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "more happened than could be watched");
        let file = event.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(name) = file.strip_suffix(".json").filter(|it| !it.starts_with('.')) else { continue };
        let seen = match event.events().contains(ReadFlags::CREATE) {
            true => Seen::Made(name.to_owned(), read(dir.join(&file))),
            false => Seen::Gone(name.to_owned()),
        };
        to.lock().expect("nobody panics with it").push(seen);
    }
}

fn read(path: PathBuf) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
