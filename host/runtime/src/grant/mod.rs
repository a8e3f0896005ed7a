//! From what a plugin wants and is granted to what a guest is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use homeostat_core::grant::{Effective, ExecGrant, Remedy, SecretSource, Wants, judge_exec};
use homeostat_core::outcome::{ErrorCode, PluginError, chain};
use homeostat_core::spec::PluginSpec;
use homeostat_egress::{Bounds, Egress, HostSecrets, Secrets};
use homeostat_process::Processes;
use serde_json::json;

use crate::host::Host;
use crate::state::CallState;

mod dirs;

pub(crate) use dirs::Dirs;

/// How much of its grants a guest gets in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: for a guest that nobody has asked for anything yet.
    Nothing,
    /// What was granted, and of that nothing through which anything can be changed. A kind of grant that is added later has
    /// to be narrowed for it too.
    ReadOnly,
    /// What was granted.
    Granted,
}

/// What one plugin may touch: what it wants and was granted.
pub(crate) struct Authority {
    pub(crate) dirs: Dirs,
    pub(crate) egress: Egress,
    effective: Effective,
    exec: BTreeMap<String, ExecGrant>,
    processes: Option<Processes>,
    wants: Wants,
    keeper: HostSecrets,
}

impl Authority {
    /// Work it out, and open what has to be open.
    ///
    /// # Errors
    /// A sentence that names the grant and says what is wrong with it.
    pub(crate) fn new(host: &Host, name: &str, wants: &Wants, spec: &PluginSpec) -> Result<Self, String> {
        let effective = wants.against(&spec.grants).effective;
        let secrets = Arc::new(host.secrets().clone());
        let egress = Egress::new(name, &spec.grants, wants, Bounds::from(&spec.limits), secrets)
            .map_err(|error| format!("Grants.Http: {}", chain(&error)))?;
        Ok(Self {
            dirs: Dirs::open(&effective.dirs)?,
            egress,
            effective,
            exec: spec.grants.exec.clone(),
            processes: host.processes().cloned(),
            wants: wants.clone(),
            keeper: host.secrets().clone(),
        })
    }

    /// What is in the wishes and in the grants.
    pub(crate) fn effective(&self) -> &Effective {
        &self.effective
    }

    /// Who keeps processes, where the host does.
    pub(crate) fn processes(&self) -> Option<&Processes> {
        self.processes.as_ref()
    }

    /// The plugin's name.
    pub(crate) fn plugin(&self) -> &str {
        self.egress.denials().plugin()
    }

    /// The grant by which a program may be started so.
    ///
    /// # Errors
    /// A sentence for the guest; the operator is told what would allow it.
    pub(crate) fn judge_exec(
        &self,
        program: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<&ExecGrant, String> {
        let env: Vec<&str> = env.keys().map(String::as_str).collect();
        judge_exec(&self.exec, &self.wants.exec, program, args, &env).map_err(|denial| {
            self.egress.denials().tell(&denial);
            denial.reason()
        })
    }

    /// It reaches for processes, and no program that it wants is granted: the operator is told what would allow each.
    /// Answers with a sentence for the guest.
    pub(crate) fn no_program(&self) -> &'static str {
        let wants = &self.wants.exec;
        if wants.is_empty() {
            self.egress.denials().tell(
                "programs were denied: the plugin's manifest does not ask for any; the plugin's manifest needs \
                 {\"Exec\":[{\"Name\":NAME}]} in its \"Wants\"",
            );
            return "the plugin's manifest asks for no program (Wants.Exec)";
        }
        for want in wants {
            // What is told is all that is wanted of it: with which arguments it is to be started is not known yet.
            let _ = self.judge_exec(&want.name, &[], &BTreeMap::new());
        }
        "no program is granted to this plugin (Grants.Exec)"
    }

    /// It asked for something that its own manifest does not name. Answers with a sentence for the guest.
    fn unwanted(&self, what: &str, kind: &str, name: &str) -> String {
        let wish = json!({ kind: [{ "Name": name }] });
        self.egress.denials().tell(format_args!(
            "the {what} {name:?} was denied: the plugin's manifest does not ask for it; the plugin's manifest needs {wish} in \
             its \"Wants\""
        ));
        format!("{name:?} is not in the plugin's manifest (Wants.{kind})")
    }

    /// It asked for something that it wants and was not granted. Answers with a sentence for the guest.
    fn ungranted(&self, what: &str, remedy: &Remedy) -> String {
        self.egress.denials().tell(format_args!("{what} was denied: it is not granted; to allow it: {remedy}"));
        format!("{what} is not granted; the operator can allow it with {}", remedy.flag)
    }
}

impl CallState {
    /// A setting, where it is wanted and given.
    pub(crate) fn config(&self, name: &str) -> Option<String> {
        let Authority { effective, wants, .. } = &*self.authority;
        if self.access == Access::Nothing {
            return None;
        }
        if !wants.config.iter().any(|it| it.name == name) {
            self.authority.unwanted("setting", "Config", name);
            return None;
        }
        effective.config.get(name).cloned()
    }

    /// A secret, where it is wanted and granted. From now on nothing that this guest says shows it.
    ///
    /// # Errors
    /// `PermissionDenied` where it is not; `Unavailable` where it cannot be read.
    pub(crate) fn secret(&self, name: &str) -> Result<String, PluginError> {
        let Authority { effective, wants, keeper, .. } = &*self.authority;
        let source = effective.secrets.get(name).filter(|_| self.access != Access::Nothing);
        let Some(source) = source else {
            let message = if self.access == Access::Nothing {
                "nothing is granted while the plugin describes itself".to_owned()
            } else if wants.secrets.iter().any(|it| it.name == name) {
                let remedy = Remedy::secret(name, &SecretSource::File("PATH".into()));
                self.authority.ungranted(&format!("the secret {name:?}"), &remedy)
            } else {
                self.authority.unwanted("secret", "Secrets", name)
            };
            return Err(PluginError { code: ErrorCode::PermissionDenied, message, path: None, retry_after: None });
        };
        let unavailable =
            |message| PluginError { code: ErrorCode::Unavailable, message, path: None, retry_after: None };
        // A short read, on a thread of the guests' own.
        let secret = keeper.read(source).map_err(|error| {
            tracing::warn!(
                plugin = self.authority.plugin(),
                secret = name,
                "a granted secret cannot be read: {}",
                chain(&error)
            );
            unavailable(format!("the secret {name:?} cannot be read now"))
        })?;
        let text = std::str::from_utf8(secret.expose())
            .map_err(|_| unavailable(format!("the secret {name:?} is no text (UTF-8)")))?;
        self.output.hide(text, name);
        Ok(text.to_owned())
    }
}
