//! Errands: what a plugin gets when it asks for something; see `guests/errand-instance`.

use serde_json::{Value, json};

use crate::{Process, World};

impl World {
    /// Register the plugin that goes on errands as `it`, with these options.
    #[track_caller]
    pub fn add_errands(&self, options: &[&str]) {
        let file = crate::plugin("errand_instance").display().to_string();
        self.run_words(&[&["plugin", "add", "it", &file], options].concat()).ok();
    }

    /// Send the plugin `it` on an errand; what it got.
    #[track_caller]
    pub fn errand(&self, errand: &Value) -> Value {
        let tag = format!("errand={errand}");
        let run = self.run_words(&["instance", "list", "it", "-o", "json", "--properties", "--tag", &tag]).ok();
        run.json()["Instances"][0]["Properties"].clone()
    }

    /// Have the plugin `it` get a URL; what it got.
    #[track_caller]
    pub fn fetch(&self, url: &str) -> Value {
        self.errand(&json!({"Fetch": {"Url": url}}))
    }
}

impl Process {
    /// The lines of a host's log about grants that hold this text.
    pub fn of_grants(&self, text: &str) -> Vec<String> {
        let said = self.stderr();
        said.lines().filter(|it| it.contains("homeostat::grant") && it.contains(text)).map(str::to_owned).collect()
    }
}
