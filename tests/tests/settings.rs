//! Settings that a plugin is given, beyond the properties of single groups.

use homeostat_tests::{World, group, plugin};
use serde_json::{Value, json};

/// A stack with the plugin `it`, that has these settings, and with a group of another one.
fn commit(world: &World, settings: &Value) {
    let mut plugins = world.plugins();
    plugins["it"] = json!({"Path": plugin("errand_instance"), "Grants": {"Config": settings}});
    world.document("stack.json", &json!({"Plugins": plugins, "Groups": [group("web", 2, "a")]}));
    world.run("group commit stack.json --wait --timeout 30s").ok();
}

#[test]
fn a_setting_that_is_wanted_and_given_is_what_the_plugin_gets() {
    let world = World::new();
    let host = world.serve();
    let ask = || world.errand(&json!({"Config": ["region", "zone", "colour", ""]}));
    commit(&world, &json!({"region": "eu-1", "colour": "red"}));
    let before = world.fingerprint();
    assert_eq!(ask(), json!({"region": "eu-1", "zone": null, "colour": null, "": null}));
    // No grant helps with what the manifest does not ask for.
    let said = host.of_grants("the setting \"colour\" was denied: the plugin's manifest does not ask for it");
    assert_eq!(said.len(), 1, "{said:#?}");
    let shown = world.run("plugin inspect it").ok();
    shown.prints("granted without effect, not wanted: the setting colour").prints("--allow-config zone=");

    // From the next call on, and nothing else is touched.
    commit(&world, &json!({"region": "eu-2\nwith a second line", "zone": ""}));
    assert_eq!(ask(), json!({"region": "eu-2\nwith a second line", "zone": "", "colour": null, "": null}));
    commit(&world, &json!({"zone": "b"}));
    assert_eq!(ask(), json!({"region": null, "zone": "b", "colour": null, "": null}));
    assert_eq!(world.fingerprint(), before);

    // It outlives the host, and goes with the grant.
    host.kill();
    let _host = world.serve();
    assert_eq!(ask()["zone"], json!("b"));
    world.add_errands(&["--allow-config", "region=by option"]);
    assert_eq!(ask(), json!({"region": "by option", "zone": null, "colour": null, "": null}));
    world.add_errands(&[]);
    assert_eq!(ask()["region"], Value::Null);
}
