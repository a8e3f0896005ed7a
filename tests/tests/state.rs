//! What the host remembers: copies of it, damage to it, its loss, and a disk without room for it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use homeostat_tests::{Seen, Watch, World, group, until};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn what_a_host_remembers_can_be_moved_to_another_place() {
    let world = World::new();
    world.run("state export").ends_with(1).complains("no host has kept its state there");
    world.run("state check").ends_with(1).complains("state.redb");
    let host = world.serve();
    world.commit(&[group("web", 3, "a"), group("db", 1, "x")]);
    let kept = world.ids().iter().find(|it| it.starts_with("web-")).unwrap().clone();
    world.run(&format!("group protect web {kept}")).ok();
    for verb in ["export", "check", "import copy.json"] {
        world.write("copy.json", "{}");
        let refused = world.run(&format!("state {verb}")).ends_with(1);
        assert!(refused.stderr.contains("in use") || verb.starts_with("import"), "{}", refused.told());
    }
    host.stop(Signal::TERM).ok();
    let before = world.fingerprint();

    world.run("state check").ok().prints("Sound:").prints("Groups:     2");
    world.run("state export copy.json").ok().prints("exported 2 groups and 2 plugins");
    assert_eq!(fs::metadata(world.path("copy.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(world.run("state export").ok().json()["Groups"]["web"]["Record"]["Revision"], 2);
    world.run("state import copy.json").ends_with(1).complains("--force");
    fs::remove_dir_all(world.path("state")).unwrap();
    world.run("state import copy.json").ok().prints("imported 2 groups and 2 plugins");
    world.run("state check -o json").ok().prints("\"Clean\": true");

    let host = world.serve();
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before, "nothing was made or destroyed");
    let view = world.describe("web");
    assert_eq!(view["Revision"], 2);
    let held = view["Instances"].as_array().unwrap().iter().find(|it| it["ID"] == kept.as_str()).unwrap();
    assert_eq!(held["Protected"], true);
    world.run("events --group web").ok().prints("committed revision 1");
    world.run("group scale db 0 --wait").ok();
    host.stop(Signal::TERM).ok();

    // With force, what was there is kept beside it.
    world.run("state import copy.json --force").ok().prints("what was there is kept as");
    let names = world.names_in("state");
    assert!(names.iter().any(|it| it.starts_with("state.redb.before-import-")), "{names:?}");
    let _host = world.serve();
    until("it is as it was exported", || world.ids().iter().any(|it| it.starts_with("db-")).then_some(()));
}

#[test]
fn a_document_that_makes_no_sense_is_not_imported() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 1, "a")]);
    host.stop(Signal::TERM).ok();
    let good = world.run("state export").ok().json();
    let before = fs::read(world.path("state/state.redb")).unwrap();
    let mut newer = good.clone();
    newer["Format"] = 99.into();
    let mut other = good.clone();
    other["Groups"]["web"]["Record"]["Spec"]["ID"] = "db".into();
    let mut odd = good;
    odd["Groups"]["web"]["Record"]["Revision"] = "many".into();
    for (document, complaint) in [
        (newer, "99"),
        (other, "Groups.web.Record.Spec.ID"),
        (odd, "Groups.web"),
        (Value::from("text"), "the document"),
    ] {
        world.document("wrong.json", &document);
        world.run("state import wrong.json --force").ends_with(1).complains(complaint);
    }
    world.write("wrong.json", "{\"Format\": 2");
    world.run("state import wrong.json --force").ends_with(1).complains("wrong.json");
    assert_eq!(fs::read(world.path("state/state.redb")).unwrap(), before);
    assert_eq!(world.names_in("state").iter().filter(|it| it.starts_with("state.redb")).count(), 1);
}

#[test]
fn a_state_with_something_under_way_says_so_until_a_host_has_settled_it() {
    let world = World::new();
    let host = world.serve();
    let mut plugins = world.plugins();
    plugins["hostile"] = world.hostile_plugin("provider");
    let mut spec = group("web", 3, "a");
    spec["Properties"]["Instance"] = serde_json::json!({"Plugin": "hostile", "Properties": {}});
    world.document("stack.json", &serde_json::json!({"Plugins": plugins, "Groups": [spec]}));
    // They are made at once, and answered late.
    world.put("provider/provision", "late 20000");
    world.run("group commit stack.json").ok();
    until("they are made", || (world.names_in("provider/instances").len() == 3).then_some(()));
    host.kill();
    let before = world.names_in("provider/instances");

    let open = world.run("state check").ends_with(1);
    let open = open.prints("Sound:      yes").prints("Under way:  3").complains("3 steps were under way");
    assert!(before.iter().all(|it| open.stdout.contains(it)), "{}", open.told());
    assert_eq!(world.run("state check -o json").ends_with(1).json()["Clean"], false);
    world.remove("provider/provision");
    let host = world.serve();
    world.until_converged("web");
    host.stop(Signal::TERM).ok();
    world.run("state check").ok();
    assert_eq!(world.names_in("provider/instances"), before, "no second ones were made");
}

#[test]
fn without_its_state_the_same_specs_plan_nothing() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 5, "a")]);
    let mut pets = group("pets", 1, "a");
    pets["Properties"]["Allocation"] = serde_json::json!({"LogicalIDs": ["x", "y"]});
    world.commit(&[group("web", 5, "a"), pets]);
    host.stop(Signal::TERM).ok();
    let before = world.fingerprint();
    fs::remove_file(world.path("state/state.redb")).unwrap();

    let _host = world.serve();
    assert_eq!(world.run("group ls -o json").ok().json(), serde_json::json!([]));
    world.run("group plan stack.json").ok().prints("No steps for web").prints("No steps for pets");
    world.run("group commit stack.json --wait --timeout 20s").ok();
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_damaged_state_is_refused_with_a_way_out() {
    let world = World::new();
    let host = world.serve();
    world.commit(&[group("web", 3, "a")]);
    host.stop(Signal::TERM).ok();
    world.run("state export copy.json").ok();
    let (file, before) = (world.path("state/state.redb"), world.fingerprint());
    let whole = fs::read(&file).unwrap();
    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2);
    for broken in [b"this is no database".to_vec(), torn, vec![0; whole.len()]] {
        fs::write(&file, &broken).unwrap();
        for verb in ["serve", "state export", "state check"] {
            let refused = world.run(verb).ends_with(1);
            refused.complains("state.redb").complains("mv ").complains("homeostat state import FILE");
        }
        assert_eq!(fs::read(&file).unwrap(), broken, "it is left as it is");
    }
    // The way out that it names.
    fs::rename(&file, world.path("state/state.redb.damaged")).unwrap();
    world.run("state import copy.json").ok();
    let _host = world.serve();
    world.until_converged("web");
    assert_eq!(world.fingerprint(), before);
}

/// A file system of its own, in memory, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount.
    fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(at).ok()?;
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "homeostat-test"]).arg(at);
        mount.output().ok().filter(|it| it.status.success()).map(|_| Self(at.to_owned()))
    }

    /// Take all the room that is left.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_made_that_is_not_written_down() {
    const SIZE: usize = 400;
    let world = World::new();
    let Some(disk) = Disk::mount(&world.path("state"), 48) else {
        println!("skipped: a full disk needs a file system of its own, and this user may not mount one");
        return;
    };
    let host = world.serve();
    world.commit(&[group("web", SIZE as i64, "a")]);
    disk.fill();

    // What an operator wants is refused, with the reason.
    world.document("large.json", &group("large", 3, &"x".repeat(600_000)));
    let refused = world.run("group commit large.json").ends_with(1);
    refused.complains("state.redb").complains("check that its disk has room");
    assert_eq!(world.ids().len(), SIZE);

    // What is lost is made anew only after its intent is written: while it cannot be, the group says so.
    let watch = Watch::new(&world.path("instances"));
    let lost: Vec<String> = world.ids().into_iter().take(SIZE / 2 - 1).collect();
    lost.iter().for_each(|id| world.remove(&format!("instances/{id}.json")));
    std::thread::sleep(Duration::from_secs(3));
    let made = watch.log().iter().filter(|it| matches!(it, Seen::Made(..))).count();
    assert_eq!(made, 0, "they were made without a written intent");
    world.until_why("web", "it was not begun, because that could not be written down");
    assert!(world.why("web").contains("check that its disk has room"));

    // With room again it goes on by itself.
    disk.empty();
    until("all are there", || (world.ids().len() == SIZE).then_some(()));
    world.until_converged("web");
    world.run("group scale web 401 --wait --timeout 20s").ok();
    host.stop(Signal::TERM).ok();
    world.run("state check").ok();
    let host = world.serve();
    world.until_converged("web");
    assert_eq!(world.ids().len(), SIZE + 1);
    host.stop(Signal::TERM).ok();
}
