//! Granted directories are watched, so that a change there wakes the groups whose plugins see it.
//!
//! A watch only ever makes a look come sooner. Whatever it misses (a subdirectory, a network file system) is found by the
//! next periodic look.
//!
//! This is inotify itself rather than a library over it: those also ask to be told of files being *opened*, and a plugin
//! that lists 5,000 files would wake its own host 5,000 times.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use homeostat_core::grant::Grants;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::sync::mpsc;

/// How long a burst of changes is let go by before it is read: it leads to one look then, and the kernel wakes nobody
/// meanwhile.
const BURST: Duration = Duration::from_micros(500);
/// How long nothing is read after that: who was told is about to look.
const PAUSE: Duration = Duration::from_millis(2);
/// How often it is checked that each path still is the directory that is watched. inotify itself does not tell where
/// somebody holds a removed directory open, as the plugins' sandbox does, or where a folder above it was renamed.
const CHECK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Watches directories on behalf of plugins, in a thread of its own that ends with this.
pub(crate) struct Watches {
    shared: Option<Arc<Shared>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    inotify: OwnedFd,
    /// Written to when the thread should look up: the directories changed, or it should end.
    nudge: OwnedFd,
    dirs: Mutex<Dirs>,
    /// Plugins whose directories changed, until somebody takes them.
    changed: Mutex<BTreeSet<String>>,
    signal: mpsc::Sender<()>,
}

#[derive(Default)]
struct Dirs {
    wanted: BTreeMap<PathBuf, BTreeSet<String>>,
    watched: BTreeMap<i32, Watched>,
    ended: bool,
}

/// A directory that is watched.
struct Watched {
    path: PathBuf,
    id: Id,
}

/// Device and inode.
type Id = (u64, u64);

fn identify(path: &Path) -> std::io::Result<Id> {
    std::fs::metadata(path).map(|it| (it.dev(), it.ino()))
}

impl Watches {
    /// A watcher, and where the names of plugins come out whose directories changed.
    pub(crate) fn new() -> (Self, Changes) {
        let (signal, receiver) = mpsc::channel(1);
        let started = Shared::new(signal).and_then(|shared| {
            let shared = Arc::new(shared);
            let body = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("watch".into()).spawn(move || body.run())?;
            Ok((shared, thread))
        });
        match started {
            Ok((shared, thread)) => {
                let changes = Changes { signal: receiver, shared: Some(Arc::clone(&shared)) };
                (Self { shared: Some(shared), thread: Some(thread) }, changes)
            }
            Err(error) => {
                tracing::warn!("granted directories cannot be watched; periodic looks find what changes: {error}");
                (Self { shared: None, thread: None }, Changes { signal: receiver, shared: None })
            }
        }
    }

    /// Watch the directories granted to a plugin.
    pub(crate) fn watch(&self, plugin: &str, grants: &Grants) {
        let Some(shared) = &self.shared else { return };
        let mut dirs = shared.dirs();
        for grant in &grants.dirs {
            dirs.wanted.entry(grant.host.clone()).or_default().insert(plugin.to_owned());
        }
        shared.add_missing(&mut dirs);
        drop(dirs);
        shared.nudge();
    }

    /// Stop watching on behalf of a plugin.
    pub(crate) fn unwatch(&self, plugin: &str) {
        let Some(shared) = &self.shared else { return };
        let mut dirs = shared.dirs();
        dirs.wanted.retain(|_, plugins| {
            plugins.remove(plugin);
            !plugins.is_empty()
        });
        let Dirs { wanted, watched, .. } = &mut *dirs;
        watched.retain(|watch, it| {
            let keep = wanted.contains_key(&it.path);
            if !keep {
                // It may be gone already, with its directory.
                let _ = inotify::remove_watch(&shared.inotify, *watch);
            }
            keep
        });
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.dirs().ended = true;
            shared.nudge();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(signal: mpsc::Sender<()>) -> std::io::Result<Self> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            nudge: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            dirs: Mutex::default(),
            changed: Mutex::default(),
            signal,
        })
    }

    fn dirs(&self) -> MutexGuard<'_, Dirs> {
        self.dirs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nudge(&self) {
        // It fails only where it has been nudged 2^64 times and not looked up once.
        let _ = rustix::io::write(&self.nudge, &1u64.to_ne_bytes());
    }

    /// Watches whose path is another directory by now, or none. Nobody is kept waiting meanwhile: a file system may take
    /// its time.
    fn stale(&self) -> Vec<i32> {
        let watched: Vec<(i32, PathBuf, Id)> =
            self.dirs().watched.iter().map(|(watch, it)| (*watch, it.path.clone(), it.id)).collect();
        let is_stale = |path: &Path, id| !identify(path).is_ok_and(|now| now == id);
        watched.into_iter().filter(|(_, path, id)| is_stale(path, *id)).map(|(watch, ..)| watch).collect()
    }

    /// Watch what is wanted and not watched.
    fn add_missing(&self, dirs: &mut Dirs) {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watched: BTreeSet<&Path> = dirs.watched.values().map(|it| it.path.as_path()).collect();
        let missing: Vec<PathBuf> =
            dirs.wanted.keys().filter(|dir| !watched.contains(dir.as_path())).cloned().collect();
        for path in missing {
            // Asked before it is watched: where another takes its place in between, the next check finds the difference.
            let added = identify(&path).and_then(|id| Ok((id, inotify::add_watch(&self.inotify, &path, flags)?)));
            match added {
                // Two paths of one directory share a watch; the plugins of both are found by the one kept.
                Ok((id, watch)) => match dirs.watched.get(&watch).map(|it| it.path.clone()) {
                    Some(twin) => {
                        let plugins = dirs.wanted.remove(&path).unwrap_or_default();
                        dirs.wanted.entry(twin).or_default().extend(plugins);
                    }
                    None => drop(dirs.watched.insert(watch, Watched { path, id })),
                },
                Err(error) => tracing::debug!("{} cannot be watched now: {error}", path.display()),
            }
        }
    }

    fn run(&self) {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let every = Duration::from_secs(CHECK.tv_sec.unsigned_abs());
        let mut checked = Instant::now();
        loop {
            let mut waiting = [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&self.nudge, PollFlags::IN)];
            match poll(&mut waiting, Some(&CHECK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!("granted directories are no longer watched: {error}");
                    return;
                }
            }
            if waiting[0].revents().contains(PollFlags::IN) {
                std::thread::sleep(BURST);
            }
            let _ = rustix::io::read(&self.nudge, &mut [0u8; 8]);
            let touched = self.read(&mut buffer);
            let mut stale = Vec::new();
            if checked.elapsed() >= every {
                stale = self.stale();
                checked = Instant::now();
            }
            let mut dirs = self.dirs();
            if dirs.ended {
                return;
            }
            let lost = !stale.is_empty() || touched.as_ref().is_some_and(|it| it.1);
            for watch in stale {
                dirs.watched.remove(&watch);
                // It may be gone already, with its directory.
                let _ = inotify::remove_watch(&self.inotify, watch);
            }
            let before = dirs.watched.len();
            if dirs.watched.len() < dirs.wanted.len() {
                self.add_missing(&mut dirs);
            }
            let found: BTreeSet<String> = match &touched {
                // A directory that came back, and events that were lost: all may have changed.
                _ if lost || dirs.watched.len() > before => dirs.wanted.values().flatten().cloned().collect(),
                Some((watches, _)) => {
                    let dirs = &*dirs;
                    let touched = watches.iter().filter_map(|it| dirs.watched.get(it));
                    touched.filter_map(|it| dirs.wanted.get(&it.path)).flatten().cloned().collect()
                }
                None => BTreeSet::new(),
            };
            drop(dirs);
            if !found.is_empty() {
                self.changed.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                // A full channel has somebody on the way already.
                let _ = self.signal.try_send(());
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// The watches on which something happened, and whether a watch or an event was lost; none where nothing was read.
    fn read(&self, buffer: &mut [MaybeUninit<u8>]) -> Option<(BTreeSet<i32>, bool)> {
        let mut events = inotify::Reader::new(&self.inotify, buffer);
        let (mut watches, mut lost) = (BTreeSet::new(), false);
        while let Ok(event) = events.next() {
            let gone = ReadFlags::IGNORED | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
            if event.events().intersects(gone) {
                lost |= self.dirs().watched.remove(&event.wd()).is_some();
                if event.events().contains(ReadFlags::MOVE_SELF) {
                    let _ = inotify::remove_watch(&self.inotify, event.wd());
                }
            }
            lost |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            watches.insert(event.wd());
        }
        (lost || !watches.is_empty()).then_some((watches, lost))
    }
}

/// Where the names of plugins whose directories changed come out.
pub(crate) struct Changes {
    signal: mpsc::Receiver<()>,
    shared: Option<Arc<Shared>>,
}

impl Changes {
    /// Wait for changes; none once nothing can be watched any more.
    pub(crate) async fn next(&mut self) -> Option<BTreeSet<String>> {
        self.signal.recv().await?;
        let shared = self.shared.as_ref()?;
        Some(std::mem::take(&mut *shared.changed.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use homeostat_core::grant::{DirGrant, DirMode};

    use super::*;

    fn grants(dir: &Path) -> Grants {
        let grant = DirGrant { host: dir.to_owned(), guest: "/x".into(), mode: DirMode::ReadWrite };
        Grants { dirs: vec![grant], ..Grants::default() }
    }

    async fn next(changes: &mut Changes) -> Vec<String> {
        let next = tokio::time::timeout(Duration::from_secs(10), changes.next());
        next.await.expect("a change within ten seconds").expect("a watcher").into_iter().collect()
    }

    #[tokio::test]
    async fn a_change_names_the_plugins_that_see_it() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (watches, mut changes) = Watches::new();
        watches.watch("mine", &grants(mine.path()));
        watches.watch("twin", &grants(mine.path()));
        watches.watch("other", &grants(other.path()));
        std::fs::write(mine.path().join("a"), "x").unwrap();
        assert_eq!(next(&mut changes).await, ["mine", "twin"]);
        watches.unwatch("twin");
        std::fs::remove_file(mine.path().join("a")).unwrap();
        assert_eq!(next(&mut changes).await, ["mine"]);
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        let (watches, mut changes) = Watches::new();
        watches.watch("mine", &grants(dir.path()));
        std::fs::read(dir.path().join("a")).unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(100), changes.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }

    async fn goes_and_comes_back(dir: &Path, changes: &mut Changes) {
        std::fs::remove_dir(dir).unwrap();
        assert_eq!(next(changes).await, ["mine"]);
        std::fs::create_dir(dir).unwrap();
        assert_eq!(next(changes).await, ["mine"], "it is there again");
        std::fs::write(dir.join("a"), "x").unwrap();
        assert_eq!(next(changes).await, ["mine"]);
    }

    #[tokio::test]
    async fn a_directory_that_comes_back_is_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("instances");
        std::fs::create_dir(&dir).unwrap();
        let (watches, mut changes) = Watches::new();
        watches.watch("mine", &grants(&dir));
        goes_and_comes_back(&dir, &mut changes).await;
    }

    #[tokio::test]
    async fn a_directory_that_somebody_holds_open_is_missed_all_the_same() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("instances");
        std::fs::create_dir(&dir).unwrap();
        let held = std::fs::File::open(&dir).unwrap();
        let (watches, mut changes) = Watches::new();
        watches.watch("mine", &grants(&dir));
        goes_and_comes_back(&dir, &mut changes).await;
        drop(held);
    }

    #[tokio::test]
    async fn a_folder_above_that_is_renamed_takes_the_directory_away() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("above/instances");
        std::fs::create_dir_all(&dir).unwrap();
        let (watches, mut changes) = Watches::new();
        watches.watch("mine", &grants(&dir));
        std::fs::rename(root.path().join("above"), root.path().join("elsewhere")).unwrap();
        assert_eq!(next(&mut changes).await, ["mine"]);
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(next(&mut changes).await, ["mine"], "another is there");
        std::fs::write(dir.join("a"), "x").unwrap();
        assert_eq!(next(&mut changes).await, ["mine"]);
    }
}
