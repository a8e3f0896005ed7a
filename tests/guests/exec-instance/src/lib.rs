//! An instance plugin whose instances are processes: for the tests of granted programs.
//!
//! Properties: `{"Args": ["serve"], "Env": {"NAME": "value"}, "StopTimeout": 2000}`, where all may be left out. An instance
//! is a process of the program `worker`, under the instance's name as its key, which is its id too; its spec and tags are
//! the process's note. Its `properties` in a list are `{"Pid": 7, "Args": [...], "Output": "..."}`.
//!
//! What the host refuses is an error with the same code, which its message begins with: `ErrorCode::NotFound: ...`.
//!
//! A label `signal=WORD` on an instance sends that signal to its process, and is not kept.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports, and the manifest's section, write it here")]

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Guest, InstanceSpec, Json, ListRequest, Page, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::exec::{self, Command, Process, ProcessState, Signal};
use bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};
use serde_json::{Map, Value, json};

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "instance-plugin" });
}

/// What the plugin wants of the operator, as a custom section of the component.
#[used]
#[unsafe(link_section = "homeostat:manifest")]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

/// How many bytes of what a process wrote are shown.
const SHOWN: u32 = 4096;

struct Exec;

bindings::export!(Exec with_types_in bindings);

impl Meta for Exec {
    fn describe_plugin() -> PluginDescription {
        PluginDescription {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            properties_schema: r#"{
                "type": ["object", "null"],
                "properties": {
                    "Args": {"type": "array", "items": {"type": "string"}},
                    "Env": {"type": "object", "additionalProperties": {"type": "string"}},
                    "StopTimeout": {"type": "integer", "minimum": 0}
                },
                "additionalProperties": false
            }"#
            .into(),
            properties_example: r#"{"Args": ["serve"]}"#.into(),
        }
    }
}

impl Guest for Exec {
    fn validate(properties: Json) -> Result<(), Error> {
        parse(&properties).map(drop)
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        let properties = parse(&spec.properties)?;
        let asked = json!({"Properties": properties, "Init": spec.init, "LogicalID": spec.logical_id});
        let tags: Map<_, _> = spec.tags.into_iter().map(|(key, value)| (key, value.into())).collect();
        let note = json!({"Spec": asked, "Tags": tags}).to_string();
        let process = exec::start(&name, &command(&properties), &note).map_err(refused)?;
        if parse(&process.note)?["Spec"] != asked {
            return Err(error(ErrorCode::AlreadyExists, format!("{name} was made with another spec")));
        }
        Ok(name)
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        let known =
            exec::find(&id).map_err(refused)?.ok_or_else(|| error(ErrorCode::NotFound, format!("there is no {id}")))?;
        let mut note = parse(&known.note)?;
        for (key, value) in tags {
            match key.as_str() {
                "signal" => exec::send_signal(&id, signal(&value)?).map_err(refused)?,
                _ => note["Tags"][key] = value.into(),
            }
        }
        exec::annotate(&id, &note.to_string()).map_err(refused)
    }

    fn destroy(id: String, _: DestroyReason) -> Result<(), Error> {
        exec::stop(&id).map_err(refused)
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        let found = exec::list(request.cursor.as_deref(), request.limit).map_err(refused)?;
        let next = found.last().map(|last| last.key.clone());
        let mut instances = Vec::new();
        for process in found {
            let instance = instance(process, request.with_properties)?;
            if request.tags.iter().all(|tag| instance.tags.contains(tag)) {
                instances.push(instance);
            }
        }
        Ok(Page { instances, next, complete: true, findings: vec![] })
    }
}

fn command(properties: &Value) -> Command {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Command {
        program: "worker".into(),
        args: properties["Args"].as_array().into_iter().flatten().map(text).collect(),
        env: properties["Env"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
        directory: None,
        limits: vec![],
        stop_timeout_ms: properties["StopTimeout"].as_u64().and_then(|ms| ms.try_into().ok()).unwrap_or(2000),
    }
}

fn signal(word: &str) -> Result<Signal, Error> {
    Ok(match word {
        "hangup" => Signal::Hangup,
        "user1" => Signal::User1,
        "terminate" => Signal::Terminate,
        "kill" => Signal::Kill,
        _ => return Err(error(ErrorCode::InvalidArgument, format!("{word:?} is no signal that is sent here"))),
    })
}

fn instance(process: Process, with_properties: bool) -> Result<Instance, Error> {
    let note = parse(&process.note)?;
    let (state, message) = match process.state {
        ProcessState::Running => (InstanceState::Running, String::new()),
        ProcessState::Stopping => (InstanceState::Stopping, String::new()),
        ProcessState::Exited(status) => (InstanceState::Stopped, format!("it ended with exit status {status}")),
        ProcessState::Signalled(number) => (InstanceState::Failed, format!("signal {number} ended it")),
        ProcessState::Lost(why) => (InstanceState::Failed, why),
    };
    let properties = match with_properties {
        true => {
            let args = &note["Spec"]["Properties"]["Args"];
            // It may be gone by now.
            let output = exec::output(&process.key, SHOWN).unwrap_or_default();
            Some(json!({"Pid": process.pid, "Args": args, "Output": output}).to_string())
        }
        false => None,
    };
    let tags = note["Tags"].as_object().into_iter().flatten();
    Ok(Instance {
        id: process.key.clone(),
        logical_id: note["Spec"]["LogicalID"].as_str().map(str::to_owned),
        state,
        message,
        created_at_ms: Some(process.started_at_ms),
        addresses: vec![],
        tags: tags.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        properties,
        name: process.key,
    })
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|e| error(ErrorCode::InvalidArgument, format!("this is not JSON: {e}")))
}

fn refused(error: Error) -> Error {
    Error { message: format!("{:?}: {}", error.code, error.message), ..error }
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), path: None, retry_after_ms: None }
}
