//! `kill -9` at any moment: a host that is killed hundreds of times in the middle of everything makes no instance twice,
//! forgets none, and leaves nothing open.
//!
//! Each test prints its seed; `HOMEOSTAT_SEED=N` plays it again, as far as the machine's timing lets it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use homeostat_tests::{LONG, Seen, Watch, World, group};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Kills in each test, and how many of them come after the last commit.
const KILLS: usize = 220;
const LAST_KILLS: usize = 70;
/// The longest that a host lives after it was started.
const LIFE_MS: u64 = 150;

/// Numbers that look random: splitmix64.
struct Random(u64);

impl Random {
    fn new(name: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let seed = std::env::var("HOMEOSTAT_SEED").map_or(now, |it| it.parse().expect("HOMEOSTAT_SEED is a number"));
        eprintln!("{name}: HOMEOSTAT_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}

/// Start a host, let it live for a while, and kill it.
fn live_and_die(world: &World, random: &mut Random) {
    let host = world.start("serve");
    std::thread::sleep(Duration::from_micros(random.below(LIFE_MS * 1_000)));
    host.kill();
}

/// Commit a group, over as many hosts as it takes to get an answer; each of them is killed.
fn commit_under_fire(world: &World, spec: &Value, random: &mut Random, kills: &mut usize) {
    world.stack(std::slice::from_ref(spec));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "no host has taken the last commit");
        let host = world.start("serve");
        std::thread::sleep(Duration::from_millis(20 + random.below(LIFE_MS)));
        let answer = world.run("group commit stack.json");
        host.kill();
        *kills += 1;
        match answer.code {
            Some(0) => return,
            Some(1 | 3) => {}
            _ => panic!("{}", answer.told()),
        }
    }
}

/// Let the last host come to rest and end, and see that nothing is open and that the next one changes nothing.
fn settle(world: &World, id: &str) {
    let host = world.serve();
    // Calls that were cut off for a spec that is not wanted any more may show for half a minute yet.
    let deadline = Instant::now() + LONG * 2;
    loop {
        let view = world.describe(id);
        if view["Status"] == "converged" && view["Report"]["Counts"]["Outdated"] == 0 {
            break;
        }
        if Instant::now() > deadline {
            let why = world.run(&format!("group why {id}"));
            host.kill();
            panic!("the last commit is not rolled out: {}{}", why.told(), world.run("state check").told());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    host.stop(Signal::TERM).ok();
    world.run("state check").ok();
    let before = world.fingerprint();
    let host = world.serve();
    world.until_converged(id);
    host.stop(Signal::TERM).ok();
    world.run("state check").ok();
    assert_eq!(world.fingerprint(), before, "a converged group was changed");
}

/// The slot or the identity, which is in the middle of each name: `web-12-0a1b2c3d4e`.
fn place(name: &str) -> &str {
    name.rsplit('-').nth(1).unwrap_or_else(|| panic!("{name}: no name of the host's"))
}

/// The most files that there were at one time; and every file was made once and went once. One that somebody else took
/// before the host saw it may be made again under its name.
fn check_names(log: &[Seen], taken: &BTreeSet<String>) -> usize {
    let (mut there, mut ever, mut most) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seen in log {
        match seen {
            Seen::Made(name, _) => {
                assert!(ever.insert(name) || taken.contains(name), "{name} was made a second time");
                assert!(there.insert(name), "{name} was made while it was there");
                most = most.max(there.len());
            }
            Seen::Gone(name) => assert!(there.remove(name), "{name} went twice"),
        }
    }
    most
}

/// A driver that commits, scales, rolls and talks to rollouts, with whatever host there is, until it is told to stop.
fn drive(world: &World, mut random: Random, over: &AtomicBool, done: &AtomicUsize) {
    let budgets = [
        json!({"MaxSurge": "25%", "MaxUnavailable": "25%"}),
        json!({"MaxSurge": 10, "MaxUnavailable": 0}),
        json!({"Order": "stop-first", "MaxUnavailable": 20}),
        json!({"Order": "start-first", "MaxSurge": "10%"}),
        json!({"MaxUnavailable": 5, "OnFailure": "rollback"}),
    ];
    while !over.load(Ordering::Relaxed) {
        let size = random.of(&[200, 200, 200, 150, 190, 60, 20, 199]);
        let run = match random.below(10) {
            0..4 => {
                let mut spec = group("web", size, &format!("init {}", random.below(6)));
                spec["Properties"]["Updating"] = random.of(&budgets);
                world.stack(&[spec]);
                world.run("group commit stack.json")
            }
            4..7 => world.run(&format!("group scale web {size}")),
            7 => world.run("group pause web"),
            8 => world.run("group resume web"),
            _ => world.run("group rollback web"),
        };
        match run.code {
            Some(0) => drop(done.fetch_add(1, Ordering::Relaxed)),
            // Refused, cut off, or no host.
            Some(1 | 3) => {}
            _ => panic!("{}", run.told()),
        }
        std::thread::sleep(Duration::from_micros(random.below(10_000)));
    }
}

#[test]
fn two_hundred_instances_come_through_two_hundred_kills() {
    const SIZE: usize = 200;
    let began = Instant::now();
    let mut random = Random::new("cattle");
    let world = World::new();
    // The plugins are compiled once; after that a host is there within milliseconds.
    let host = world.serve();
    let watch = Watch::new(&world.path("instances"));
    world.commit(&[group("web", SIZE as i64, "init 0")]);
    host.kill();

    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let driver = Random(random.below(u64::MAX));
    let mut kills = 1;
    std::thread::scope(|scope| {
        let driving = scope.spawn(|| drive(&world, driver, &over, &done));
        while kills < KILLS - LAST_KILLS && !driving.is_finished() {
            live_and_die(&world, &mut random);
            kills += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    let (before, answered) = (watch.len(), done.load(Ordering::Relaxed));

    // The last word: another config, a few at a time, so that many more kills come in the middle.
    let mut last = group("web", SIZE as i64, "the last");
    last["Properties"]["Updating"] = json!({"MaxSurge": 1, "MaxUnavailable": 1});
    commit_under_fire(&world, &last, &mut random, &mut kills);
    while kills < KILLS {
        live_and_die(&world, &mut random);
        kills += 1;
    }
    settle(&world, "web");

    let instances = world.instances();
    assert_eq!((instances.len(), world.ids().len()), (SIZE, SIZE));
    let slots: BTreeSet<&str> = instances.keys().map(|it| place(it)).collect();
    assert_eq!(slots.len(), SIZE, "a slot is filled twice");
    for (id, it) in &instances {
        assert_eq!(it["Tags"]["homeostat.slot"], place(id), "{id}");
        assert_eq!((&it["Init"], &it["Tags"]["infrakit.group"]), (&json!("the last"), &json!("web")), "{id}");
    }
    let hashes: BTreeSet<&str> =
        instances.values().filter_map(|it| it["Tags"]["infrakit.config.hash"].as_str()).collect();
    assert_eq!(hashes.len(), 1);

    let log = watch.log();
    let most = check_names(&log, &BTreeSet::new());
    // 25 % of surge is the most that any spec had.
    assert!(most <= SIZE + SIZE / 4, "{most} files at one time");
    // Of the last spec exactly those were made that are there now: nothing scaled, so nothing explains another one.
    let mut made: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (at, seen) in log.iter().enumerate() {
        let Seen::Made(name, content) = seen else { continue };
        assert!(at < before || content.is_some(), "{name} was gone as soon as it was made");
        if content.as_ref().is_some_and(|it| it["Init"] == "the last") {
            made.entry(place(name)).or_default().push(name);
        }
    }
    let twice: Vec<_> = made.iter().filter(|(_, names)| names.len() > 1).collect();
    assert!(twice.is_empty(), "made more than once: {twice:?}");
    assert_eq!(made.keys().copied().collect::<BTreeSet<_>>(), slots);
    let made = log.iter().filter(|it| matches!(it, Seen::Made(..))).count();
    eprintln!(
        "cattle: {kills} kills, {answered} commands answered, {made} instances made, at most {most} at one time, {:.1?}",
        began.elapsed()
    );
    assert!(answered >= 20 && made > 2 * SIZE, "hardly anything happened: {answered} answered, {made} made");
}

#[test]
fn a_pet_never_has_a_double_however_often_the_host_is_killed() {
    const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
    let began = Instant::now();
    let mut random = Random::new("pets");
    let world = World::new();
    let host = world.serve();
    let watch = Watch::new(&world.path("instances"));
    let pets = |init: u64, start: &str| {
        let mut spec = group("pets", 1, &format!("init {init}"));
        spec["Properties"]["Allocation"] = json!({"LogicalIDs": IDS});
        spec["Properties"]["Updating"] = json!({"MaxUnavailable": 2, "Start": start});
        spec
    };
    world.commit(&[pets(0, "ordered")]);
    host.kill();

    let (mut kills, mut commits, mut taken) = (1, 0, BTreeSet::new());
    while kills < KILLS {
        // A new config every third time, so that most hosts find a rollout half done.
        let commits_now = kills % 3 == 0;
        let host = if commits_now { world.serve() } else { world.start("serve") };
        if commits_now {
            world.stack(&[pets(kills as u64, random.of(&["ordered", "parallel"]))]);
            commits += usize::from(world.run("group commit stack.json").code == Some(0));
        }
        std::thread::sleep(Duration::from_micros(random.below(LIFE_MS * 1_000 / 2)));
        // One is lost to somebody else now and then.
        if kills % 7 == 0
            && let Some(name) = world.ids().first()
        {
            let _ = std::fs::remove_file(world.path("instances").join(format!("{name}.json")));
            taken.insert(name.clone());
        }
        host.kill();
        kills += 1;
    }
    commit_under_fire(&world, &pets(1_000, "ordered"), &mut random, &mut kills);
    settle(&world, "pets");

    let instances = world.instances();
    let holders: Vec<&str> = instances.values().filter_map(|it| it["LogicalID"].as_str()).collect();
    assert_eq!((instances.len(), holders.iter().copied().collect::<BTreeSet<_>>()), (5, IDS.into()));
    assert!(instances.values().all(|it| it["Init"] == "init 1000"));

    let log = watch.log();
    assert!(check_names(&log, &taken) <= IDS.len());
    // At every moment: at most one for each identity.
    let mut holding: BTreeMap<&str, &str> = BTreeMap::new();
    for seen in &log {
        match seen {
            Seen::Made(name, _) => {
                let double = holding.insert(place(name), name);
                assert_eq!(double, None, "{name} was made while {double:?} held its identity");
            }
            Seen::Gone(name) => drop(holding.remove(place(name))),
        }
    }
    let made = log.iter().filter(|it| matches!(it, Seen::Made(..))).count();
    eprintln!("pets: {kills} kills, {commits} commits, {made} instances made, {:.1?}", began.elapsed());
    assert!(commits >= 20 && made > 25, "hardly anything happened: {commits} commits, {made} made");
}
