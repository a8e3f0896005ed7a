//! Export, import, check.

use super::*;
use crate::store::{Document, DocumentError, STATE_FILE, export, import};

fn filled(dir: &Path) {
    let store = RedbStore::open(&dir.join(STATE_FILE)).unwrap();
    store.commit(0, &[Change::PutGroup(group("a", 3)), Change::PutGroup(group("b", 0))]).unwrap();
    let writes = vec![memory("a", 3), intent("a", "+x", Some(creation(1))), event(1, Some("a")), event(2, None)];
    store.append(&batch(writes)).unwrap();
}

#[test]
fn what_is_exported_can_be_imported_elsewhere() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(from.path());
    let document = export(from.path()).unwrap();
    let text = serde_json::to_vec_pretty(&document).unwrap();
    let done = import(to.path(), &Document::parse("x.json", &text).unwrap(), false).unwrap();
    assert_eq!((done.groups, done.kept), (2, None));
    assert_eq!(export(to.path()).unwrap(), document);
    let store = RedbStore::open(&to.path().join(STATE_FILE)).unwrap();
    assert_eq!(store.load().unwrap().next_event, document.next_event);
    let events = store.events(&EventQuery::replay(0, 9)).unwrap();
    assert_eq!(events[0].json, b"{\"Seq\":1}");
    assert_eq!(events[0].group.as_deref(), Some("a"));
}

#[test]
fn an_import_puts_aside_what_was_there_and_only_if_told() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let mut document = export(dir.path()).unwrap();
    document.groups.remove("b");
    let error = import(dir.path(), &document, false).unwrap_err();
    assert!(
        matches!(&error, DocumentError::Occupied { holds, .. } if holds == "holds 2 groups and 0 plugins"),
        "{error}"
    );
    assert_eq!(export(dir.path()).unwrap().groups.len(), 2, "nothing was changed");
    let done = import(dir.path(), &document, true).unwrap();
    assert_eq!(export(dir.path()).unwrap(), document);
    let kept = done.kept.unwrap();
    assert!(kept.display().to_string().contains("state.redb.before-import-"), "{kept:?}");
    assert_eq!(RedbStore::open(&kept).unwrap().load().unwrap().groups.len(), 2);
}

#[test]
fn an_import_over_an_empty_state_needs_no_force_and_over_a_damaged_one_does() {
    let (from, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(from.path());
    let document = export(from.path()).unwrap();
    let path = dir.path().join(STATE_FILE);
    drop(RedbStore::open(&path).unwrap());
    import(dir.path(), &document, false).unwrap();
    std::fs::write(&path, "spoilt").unwrap();
    assert!(matches!(import(dir.path(), &document, false), Err(DocumentError::Occupied { .. })));
    let kept = import(dir.path(), &document, true).unwrap().kept.unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), b"spoilt");
    assert!(check(&path).unwrap().faults.is_empty());
}

#[test]
fn nothing_is_imported_under_a_running_host() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let document = export(dir.path()).unwrap();
    let _host = RedbStore::open(&dir.path().join(STATE_FILE)).unwrap();
    let error = import(dir.path(), &document, true).unwrap_err();
    assert!(matches!(error, DocumentError::Store(StoreError::InUse { .. })), "{error}");
    assert!(matches!(export(dir.path()), Err(StoreError::InUse { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_wrong_document_says_where() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let good = serde_json::to_value(export(dir.path()).unwrap()).unwrap();
    let fault = |pointer: &str, value: serde_json::Value| {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        Document::parse("x.json", &serde_json::to_vec(&document).unwrap()).unwrap_err().to_string()
    };
    let revision = fault("/Groups/a/Record/Revision", json!("three"));
    assert!(revision.starts_with("x.json: Groups.a.Record.Revision: invalid type"), "{revision}");
    let id = fault("/Groups/a/Record/Spec/ID", json!("c"));
    assert!(id.starts_with("x.json: Groups.a.Record.Spec.ID: it is \"c\""), "{id}");
    let seq = fault("/Events/1/Seq", json!(1));
    assert!(seq.starts_with("x.json: Events[1].Seq: 1 does not come after"), "{seq}");
    let format = fault("/Format", json!(3));
    assert!(format.starts_with("x.json: Format: it is 3, and this homeostat reads 2"), "{format}");
    let unknown = fault("/Groups/a", json!({ "Record": good["Groups"]["a"]["Record"], "Instances": [] }));
    assert!(unknown.contains("unknown field `Instances`"), "{unknown}");
    let cut = Document::parse("x.json", b"{\"Format\": 2").unwrap_err().to_string();
    assert!(cut.starts_with("x.json: the document: EOF"), "{cut}");
}

#[test]
fn a_check_is_clean_only_when_nothing_is_open_and_all_makes_sense() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STATE_FILE);
    assert!(matches!(check(&path), Err(StoreError::Missing { .. })));
    assert!(!path.exists(), "a check makes no file");
    filled(dir.path());
    let found = check(&path).unwrap();
    assert_eq!((found.groups, found.events, found.faults.len(), found.intents.len()), (2, 2, 0, 1));
    assert_eq!((found.is_clean(), found.intents[0].key.as_str()), (false, "+x"));
    RedbStore::open(&path).unwrap().append(&batch([intent("a", "+x", None)])).unwrap();
    assert!(check(&path).unwrap().is_clean());
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(tables::GROUPS).unwrap().insert("b", b"{}".as_slice()).unwrap();
    transaction.open_table(tables::MEMORY).unwrap().insert("ghost", b"{}".as_slice()).unwrap();
    transaction.open_table(tables::EVENTS).unwrap().insert(3, ("", b"{".as_slice())).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let faults = check(&path).unwrap().faults;
    for part in ["group b makes no sense", "memory of group ghost makes no sense", "event 3 makes no sense"] {
        assert!(faults.iter().any(|it| it.contains(part)), "{part:?} is not in {faults:?}");
    }
    assert!(matches!(RedbStore::open(&path).unwrap().load(), Err(StoreError::Damaged { .. })));
}
