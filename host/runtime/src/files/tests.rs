//! Two guests whose files are failed at each operation in each way: the file plugin, which calls WASI itself, and one that
//! writes by `std`, and so through streams.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use wasmtime::component::{Component, InstancePre, Linker, Resource, ResourceTable, Val};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::bindings::io::streams::HostOutputStream;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::files::filesystem::files;
use crate::files::{CutOff, FaultAt, FileError, FileOperation, FileTap, FileVerdict, HasFileTap, add_to_linker};

use types::{Host as _, HostDescriptor, HostDirectoryEntryStream};

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    tap: Option<Arc<FileTap>>,
}

impl State {
    fn new(dir: &Path, guest: &str, wire: Option<&Arc<FaultAt>>) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.allow_blocking_current_thread(true);
        wasi.preopened_dir(dir, guest, FsPerms::ReadWrite).expect("opens");
        let tap = wire.map(|wire| Arc::new(FileTap::new(wire.clone())));
        Self { wasi: wasi.build(), http: WasiHttpCtx::new(), table: ResourceTable::new(), tap }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The hostile guest imports HTTP, and is not asked to use it here.
struct NoHttp;

impl WasiHttpHooks for NoHttp {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<HttpAnswer, Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

type HttpAnswer = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        // It holds nothing, so each call may have its own.
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Box::leak(Box::new(NoHttp)) }
    }
}

impl HasFileTap for State {
    fn file_tap(&self) -> Option<&Arc<FileTap>> {
        self.tap.as_ref()
    }
}

fn verdicts() -> Vec<FileVerdict> {
    let with = |error| [FileVerdict::Fail(error), FileVerdict::FailAfter(error)];
    FileError::ALL.iter().copied().flat_map(with).chain([FileVerdict::CutOff, FileVerdict::CutOffAfter]).collect()
}

/// A plugin, and the directory that its instances are in, seen from within and from without.
struct Plugin {
    pre: InstancePre<State>,
    guest: &'static str,
    instances: &'static str,
    suffix: &'static str,
    wire: Arc<FaultAt>,
}

/// What a plugin answers: what it made, or the code and the text of its error.
type Answer = Result<Option<Val>, (String, String)>;

impl Plugin {
    /// The one that calls WASI by its own names.
    fn file() -> Self {
        Self::new("instance_file", "/instances", "", ".json")
    }

    /// The one that uses `std`.
    fn by_std() -> Self {
        Self::new("hostile_instance", "/world", "instances", "")
    }

    fn new(name: &str, guest: &'static str, instances: &'static str, suffix: &'static str) -> Self {
        let engine = Engine::default();
        let component = Component::from_file(&engine, built(name)).expect("compiles");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("links");
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).expect("links");
        add_to_linker(&mut linker).expect("links");
        let mut log = linker.instance("homeostat:plugin/log@0.1.0").expect("links");
        log.func_new("log", |_, _, _, _| Ok(())).expect("links");
        // What else the hostile guest imports, it is not asked to call here.
        for interface in ["config", "secrets"] {
            let mut other = linker.instance(&format!("homeostat:plugin/{interface}@0.1.0")).expect("links");
            other.func_new("get", |_, _, _, _| Err(wasmtime::Error::msg("not here"))).expect("links");
        }
        let pre = linker.instantiate_pre(&component).expect("links");
        Self { pre, guest, instances, suffix, wire: Arc::default() }
    }

    async fn call(&self, dir: &Path, function: &str, arguments: &[Val]) -> wasmtime::Result<Answer> {
        let mut store = Store::new(self.pre.engine(), State::new(dir, self.guest, Some(&self.wire)));
        let instance = self.pre.instantiate_async(&mut store).await?;
        let interface = instance.get_export_index(&mut store, None, "homeostat:plugin/instance@0.1.0");
        let function = instance.get_export_index(&mut store, interface.as_ref(), function).expect("is exported");
        let function = instance.get_func(&mut store, function).expect("is a function");
        let mut answers = [Val::Bool(false)];
        function.call_async(&mut store, arguments, &mut answers).await?;
        let [Val::Result(answer)] = answers else { panic!("{function:?} answers with no result") };
        Ok(answer.map(|value| value.map(|value| *value)).map_err(|error| {
            let Val::Record(error) = *error.expect("has a value") else { panic!("an error is a record") };
            match &error[..] {
                [(_, Val::Enum(code)), (_, Val::String(message)), ..] => (code.clone(), message.clone()),
                other => panic!("{other:?} is no error"),
            }
        }))
    }

    async fn provision(&self, dir: &Path) -> wasmtime::Result<Answer> {
        let text = |text: &str| Val::String(text.into());
        let spec = Val::Record(vec![
            ("properties".into(), text(r#"{"Note":"n"}"#)),
            ("tags".into(), Val::List(vec![Val::Tuple(vec![text("tier"), text("web")])])),
            ("init".into(), text("")),
            ("logical-id".into(), Val::Option(None)),
            ("attachments".into(), Val::List(Vec::new())),
        ]);
        self.call(dir, "provision", &[text("web-1"), spec]).await
    }

    /// How many the plugin lists, and whether it says that these are all.
    async fn list(&self, dir: &Path) -> (usize, bool) {
        let request = Val::Record(vec![
            ("tags".into(), Val::List(Vec::new())),
            ("with-properties".into(), Val::Bool(false)),
            ("cursor".into(), Val::Option(None)),
            ("limit".into(), Val::U32(10)),
        ]);
        let page = self.call(dir, "list", &[request]).await.expect("no trap").expect("no error").expect("a page");
        let Val::Record(page) = page else { panic!("a page is a record") };
        let page: BTreeMap<_, _> = page.into_iter().collect();
        match (&page["instances"], &page["complete"]) {
            (Val::List(instances), Val::Bool(complete)) => (instances.len(), *complete),
            other => panic!("{other:?} is no page"),
        }
    }

    /// The instances that can be seen from without, as JSON. Panics where one is not whole.
    fn visible(&self, dir: &Path) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(dir.join(self.instances)) else { return Vec::new() };
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("is UTF-8"));
        names
            .filter(|name| !name.starts_with('.') && name.ends_with(self.suffix))
            .map(|name| {
                let text = fs::read(dir.join(self.instances).join(&name)).expect("a file");
                serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{name} is half written: {e}"))
            })
            .collect()
    }

    /// The operations of a provision that nothing comes between.
    async fn operations(&self) -> Vec<FileOperation> {
        let mut operations = Vec::new();
        loop {
            let dir = made();
            let k = operations.len() as u64 + 1;
            self.wire.arm(k, FileVerdict::Pass);
            self.provision(dir.path()).await.expect("no trap").expect("no error");
            match self.wire.hit() {
                Some(operation) => operations.push(operation),
                None => {
                    assert_eq!(self.wire.seen(), operations.len() as u64, "two runs differ");
                    return operations;
                }
            }
        }
    }

    /// Fail a provision at the first operation of this name and path.
    async fn fault(&self, name: &str, path: &str, verdict: FileVerdict) -> (wasmtime::Result<Answer>, TempDir) {
        let operations = self.operations().await;
        let matches = |o: &FileOperation| o.name == name && o.path.as_ref().is_some_and(|p| p.contains(path));
        let k = operations.iter().position(matches).unwrap_or_else(|| panic!("no {name} {path} in {operations:#?}"));
        let dir = made();
        self.wire.arm(k as u64 + 1, verdict);
        let answer = self.provision(dir.path()).await;
        assert_eq!(self.wire.hit().map(|operation| operation.name), Some(name));
        self.wire.disarm();
        (answer, dir)
    }

    /// Fail a provision at each operation in each way. None but a cut-off may end the guest; the files left are nothing or
    /// one whole instance; and asked again in peace, the plugin has one.
    async fn survives_everything(&self) {
        let operations = self.operations().await;
        for verdict in verdicts() {
            for (k, expected) in (1..).zip(&operations) {
                let dir = made();
                self.wire.arm(k, verdict);
                let answer = self.provision(dir.path()).await;
                let hit = self.wire.hit().expect("was struck");
                let at = format!("{verdict:?} at {hit}");
                assert_eq!((hit.name, hit.number), (expected.name, k), "{at}");
                match (verdict, &answer) {
                    (FileVerdict::CutOff | FileVerdict::CutOffAfter, Err(error)) => {
                        let cut_off = error.downcast_ref::<CutOff>().unwrap_or_else(|| panic!("{at}: {error:#}"));
                        assert!(cut_off.to_string().ends_with(&hit.to_string()), "{at}: {cut_off}");
                        assert_eq!(self.wire.seen(), k, "{at}: it went on");
                    }
                    (FileVerdict::CutOff | FileVerdict::CutOffAfter, Ok(answer)) => panic!("{at}: {answer:?}"),
                    (_, answer) => drop(answer.as_ref().unwrap_or_else(|error| panic!("{at}: {error:#}"))),
                }
                assert!(self.visible(dir.path()).len() <= 1, "{at}: {:?}", self.visible(dir.path()));
                self.wire.disarm();
                self.provision(dir.path()).await.expect("no trap").unwrap_or_else(|error| panic!("{at}: {error:?}"));
                assert_eq!(self.visible(dir.path()).len(), 1, "{at}");
                assert_eq!(self.list(dir.path()).await, (1, true), "{at}");
            }
        }
    }
}

fn made() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn built(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = workspace.join(target).join(format!("wasm32-wasip2/release/{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `make build` first", path.display());
    path
}

#[tokio::test]
async fn the_file_plugins_operations_are_seen_by_name_and_path() {
    let plugin = Plugin::file();
    let operations = plugin.operations().await;
    let names: Vec<_> = operations.iter().map(|operation| operation.name).collect();
    assert_eq!(names, ["open-at", "write", "link-at", "unlink-file-at"]);
    assert_eq!(operations.iter().map(|operation| operation.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for operation in &operations {
        let path = operation.path.as_deref().expect("has a path");
        assert!(path.starts_with("/instances/.web-1."), "{operation}");
    }
    assert_eq!(operations[2].to.as_deref(), Some("/instances/web-1.json"));
}

#[tokio::test]
async fn the_file_plugin_survives_each_fault_at_each_operation() {
    Plugin::file().survives_everything().await;
}

#[tokio::test]
async fn a_plugin_that_uses_std_is_struck_in_its_streams_too() {
    let plugin = Plugin::by_std();
    let operations = plugin.operations().await;
    assert!(
        operations.iter().any(|o| o.name == "write" && o.path.as_ref().is_some_and(|p| p.starts_with("/world/.web-1"))),
        "{operations:#?}"
    );
    plugin.survives_everything().await;
}

#[tokio::test]
async fn an_operation_that_fails_is_not_done_and_one_that_is_cut_off_after_it_is() {
    for plugin in [Plugin::file(), Plugin::by_std()] {
        let (answer, dir) = plugin.fault("link-at", "web-1", FileVerdict::Fail(FileError::Io)).await;
        answer.expect("no trap").expect_err("was made");
        assert_eq!(plugin.visible(dir.path()).len(), 0);
        let (answer, dir) = plugin.fault("link-at", "web-1", FileVerdict::CutOff).await;
        answer.expect_err("went on");
        assert_eq!(plugin.visible(dir.path()).len(), 0);
        let (answer, dir) = plugin.fault("link-at", "web-1", FileVerdict::FailAfter(FileError::Io)).await;
        answer.expect("no trap").expect_err("was told of it");
        assert_eq!(plugin.visible(dir.path()).len(), 1);
        let (answer, dir) = plugin.fault("link-at", "web-1", FileVerdict::CutOffAfter).await;
        answer.expect_err("went on");
        assert_eq!(plugin.visible(dir.path()).len(), 1);
    }
}

#[tokio::test]
async fn a_write_that_was_cut_off_is_whole_or_not_there_at_all() {
    for plugin in [Plugin::file(), Plugin::by_std()] {
        for (verdict, written) in [(FileVerdict::CutOff, false), (FileVerdict::CutOffAfter, true)] {
            let (answer, dir) = plugin.fault("write", "/.web-1", verdict).await;
            answer.expect_err("went on");
            let files = fs::read_dir(dir.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
            let [file] = &files.filter(|path| path.is_file()).collect::<Vec<_>>()[..] else { panic!("no file") };
            let text = fs::read(file).expect("a file");
            assert_eq!(text.is_empty(), !written, "{verdict:?}");
            assert_eq!(serde_json::from_slice::<Value>(&text).is_ok(), written, "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn the_guest_gets_the_error_that_was_asked_for() {
    let plugin = Plugin::file();
    for (error, code) in [
        (FileError::InsufficientSpace, "resource-exhausted"),
        (FileError::Quota, "resource-exhausted"),
        (FileError::Access, "permission-denied"),
        (FileError::Io, "internal"),
    ] {
        let (answer, _dir) = plugin.fault("write", "/.web-1", FileVerdict::Fail(error)).await;
        assert_eq!(answer.expect("no trap").expect_err("was made").0, code, "{error}");
    }
    // The libc of `std` asks no stream what its error means: to it, each is EIO, as with a disk that is really full.
    let (answer, _dir) = Plugin::by_std().fault("write", "/.web-1", FileVerdict::Fail(FileError::Quota)).await;
    assert_eq!(answer.expect("no trap").expect_err("was made").1, "/world: cannot write: I/O error (os error 29)");
    // What goes through no stream keeps its code.
    let full = FileVerdict::Fail(FileError::InsufficientSpace);
    let (answer, _dir) = Plugin::by_std().fault("link-at", "/.web-1", full).await;
    let (_, message) = answer.expect("no trap").expect_err("was made");
    assert!(message.contains("No space left"), "{message}");
}

/// Open a new file of the only directory there is.
async fn opened(state: &mut State) -> Result<Resource<types::Descriptor>, types::ErrorCode> {
    let directory = preopens::Host::get_directories(&mut files(state)).expect("is listed").remove(0).0;
    let opened = files(state)
        .open_at(directory, PathFlags::empty(), "f".into(), OpenFlags::CREATE, DescriptorFlags::WRITE)
        .await;
    opened.map_err(|error| error.downcast().expect("no trap"))
}

#[tokio::test]
async fn a_stream_that_writes_and_waits_is_failed_and_cut_off_as_asked() {
    let (dir, wire) = (made(), Arc::new(FaultAt::new()));
    for verdict in [FileVerdict::Fail(FileError::Quota), FileVerdict::CutOff, FileVerdict::CutOffAfter] {
        let mut state = State::new(dir.path(), "/d", Some(&wire));
        let file = opened(&mut state).await.expect("opens");
        let stream = files(&mut state).append_via_stream(Resource::new_own(file.rep())).expect("opens");
        let stream = || Resource::new_own(stream.rep());
        wire.arm(2, verdict);
        state.table.blocking_write_and_flush(stream(), b"one".into()).await.expect("is written");
        match (verdict, state.table.blocking_write_and_flush(stream(), b"two".into()).await) {
            (FileVerdict::Fail(_), Err(StreamError::LastOperationFailed(error))) => {
                let error = state.table.push(error).expect("room");
                let code = files(&mut state).filesystem_error_code(error).expect("is known");
                assert_eq!(code, Some(ErrorCode::Quota));
            }
            (FileVerdict::CutOff | FileVerdict::CutOffAfter, Err(StreamError::Trap(error))) => {
                assert!(error.downcast_ref::<CutOff>().is_some(), "{error:#}");
            }
            (_, other) => panic!("{verdict:?}: {other:?}"),
        }
        assert_eq!(wire.hit().and_then(|operation| operation.path).as_deref(), Some("/d/f"));
        let again = state.table.blocking_write_and_flush(stream(), b"three".into()).await;
        assert!(matches!(again, Err(StreamError::Closed)), "{again:?}");
        let text = fs::read_to_string(dir.path().join("f")).expect("a file");
        assert_eq!(text, if verdict == FileVerdict::CutOffAfter { "onetwo" } else { "one" }, "{verdict:?}");
        fs::remove_file(dir.path().join("f")).expect("is removed");
    }
}

#[tokio::test]
async fn a_handle_that_the_guest_never_gets_takes_no_place() {
    let (dir, wire) = (made(), Arc::new(FaultAt::new()));
    let mut state = State::new(dir.path(), "/d", Some(&wire));
    let directory = preopens::Host::get_directories(&mut files(&mut state)).expect("is listed").remove(0).0;
    let directory = || Resource::new_own(directory.rep());
    state.table.set_max_capacity(2);
    for _ in 0..4 {
        wire.arm(1, FileVerdict::FailAfter(FileError::Busy));
        let opened = files(&mut state)
            .open_at(directory(), PathFlags::empty(), "f".into(), OpenFlags::CREATE, DescriptorFlags::WRITE)
            .await;
        assert_eq!(opened.expect_err("opened").downcast().expect("no trap"), ErrorCode::Busy);
        wire.arm(1, FileVerdict::FailAfter(FileError::Busy));
        let entries = files(&mut state).read_directory(directory()).await;
        assert_eq!(entries.expect_err("opened").downcast().expect("no trap"), ErrorCode::Busy);
    }
    // A listing that is failed midway goes on where it was.
    fs::write(dir.path().join("g"), "").expect("a file");
    let entries = files(&mut state).read_directory(directory()).await.expect("opens");
    let entries = || Resource::new_own(entries.rep());
    wire.arm(2, FileVerdict::Fail(FileError::Io));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let entry = files(&mut state).read_directory_entry(entries()).await;
        seen.push(entry.map(|entry| entry.map(|entry| entry.name)).map_err(|error| error.downcast().expect("no trap")));
    }
    assert!(matches!(&seen[..], [Ok(Some(_)), Err(ErrorCode::Io), Ok(Some(_)), Ok(None)]), "{seen:?}");
    assert_eq!(wire.hit().and_then(|operation| operation.path).as_deref(), Some("/d"));
}

#[tokio::test]
async fn what_goes_while_a_directory_is_read_is_left_out() {
    let dir = made();
    fs::write(dir.path().join("stays"), "").expect("a file");
    let stop = Arc::new(AtomicBool::new(false));
    let (path, until) = (dir.path().to_owned(), stop.clone());
    let churn = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            let passing: Vec<_> = (0..8).map(|n| path.join(format!("passing-{n}"))).collect();
            passing.iter().for_each(|it| fs::write(it, "").expect("a file"));
            passing.iter().for_each(|it| fs::remove_file(it).expect("is removed"));
        }
    });
    let mut state = State::new(dir.path(), "/d", None);
    let directory = preopens::Host::get_directories(&mut files(&mut state)).expect("is listed").remove(0).0;
    for _ in 0..2_000 {
        let entries = files(&mut state).read_directory(Resource::new_own(directory.rep())).await.expect("opens");
        let mut seen = Vec::new();
        while let Some(entry) =
            files(&mut state).read_directory_entry(Resource::new_own(entries.rep())).await.expect("is read")
        {
            seen.push(entry.name);
        }
        assert!(seen.iter().any(|it| it == "stays"), "{seen:?}");
        HostDirectoryEntryStream::drop(&mut files(&mut state), entries).expect("is closed");
    }
    stop.store(true, Ordering::Relaxed);
    churn.join().expect("ends");
}

#[tokio::test]
async fn without_a_wire_all_passes() {
    let dir = made();
    let mut state = State::new(dir.path(), "/d", None);
    let file = opened(&mut state).await.expect("opens");
    let stream = files(&mut state).append_via_stream(file).expect("opens");
    state.table.blocking_write_and_flush(stream, b"one".into()).await.expect("is written");
    assert_eq!(fs::read_to_string(dir.path().join("f")).expect("a file"), "one");
}

#[test]
fn a_fault_strikes_once_and_says_where() {
    use crate::files::FileWire;
    let wire = FaultAt::new();
    let operation = |number| FileOperation { number, name: "stat", path: Some("/a".into()), to: None };
    assert_eq!(wire.verdict(&operation(1)), FileVerdict::Pass);
    assert_eq!((wire.seen(), wire.hit()), (1, None));
    wire.arm(2, FileVerdict::CutOff);
    assert_eq!(wire.seen(), 0);
    let verdicts = [1, 2, 3].map(|number| wire.verdict(&operation(number)));
    assert_eq!(verdicts, [FileVerdict::Pass, FileVerdict::CutOff, FileVerdict::Pass]);
    assert_eq!(wire.hit().map(|hit| hit.to_string()).as_deref(), Some(r#"file operation 2, stat "/a""#));
    wire.disarm();
    assert_eq!((wire.verdict(&operation(1)), wire.hit()), (FileVerdict::Pass, None));
}
