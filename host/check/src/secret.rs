//! Secrets that a plugin may use and must not show.

use homeostat_core::grant::{Grants, SecretSource};

/// The secret that the kit gives to a plugin that wants one which nobody granted.
pub(crate) fn canary(name: &str) -> String {
    format!("canary-{name}-7f3c1e9a55d0")
}

/// The values that must not show, with their names: those of the kit, and those of the operator that can be read here.
pub(crate) fn values(wanted: &[String], grants: &Grants) -> Vec<(String, String)> {
    let mut values: Vec<_> = wanted.iter().map(|name| (name.clone(), canary(name))).collect();
    for (name, source) in &grants.secrets {
        let value = match source {
            SecretSource::File(path) => std::fs::read_to_string(path).ok(),
            SecretSource::Env(variable) => std::env::var(variable).ok(),
            SecretSource::Store(_) => None,
        };
        // What is shorter is found everywhere.
        if let Some(value) = value.map(|it| it.trim_end_matches(['\r', '\n']).to_owned()).filter(|it| it.len() >= 8) {
            values.push((name.clone(), value));
        }
    }
    values
}
